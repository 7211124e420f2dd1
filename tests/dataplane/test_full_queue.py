"""A queue that is merely full fails no task, and is the reason that each of them gives: a real
Airflow whose patience ends after seconds.
"""

from pathlib import Path

import pytest

from apps.dataplane.spec import VariableSpec, WorkerQueue
from apps.observability.why.facts import TaskName
from tests.dataplane.local_world import local_world
from tests.dataplane.specs import make_code, make_runtime, make_spec
from tests.dataplane.why_waiting import reason_of
from tests.dataplane.world import eventually

pytestmark = pytest.mark.slow

DAG = """
import time

from airflow.sdk import dag, task


@dag(schedule=None)
def crowd():
    @task
    def one(number):
        time.sleep(9)

    one.expand(number=list(range(4)))


@dag(schedule=None)
def lost():
    @task(queue="gpu")
    def nowhere():
        return None

    nowhere()


crowd()
lost()
"""
# Ten minutes made short: every task but the first waits for at least twice as long.
SHORT = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "4",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "1",
    "AIRFLOW__CORE__PARALLELISM": "64",
}


def test_tasks_that_wait_for_longer_than_airflow_s_patience_run_in_the_end(tmp_path: Path) -> None:
    variables = tuple(VariableSpec(key=k, value=v, is_secret=False) for k, v in SHORT.items())
    queue = WorkerQueue(name="default", concurrency=1, min_workers=1, max_workers=1)
    code = make_code(tmp_path, {"crowd.py": DAG})
    with local_world(make_runtime()) as world:
        spec = make_spec("full-comet", queues=(queue,), variables=variables, code=code)
        world.create(spec)

        nowhere = TaskName(dag_id="lost", run_id=world.trigger("lost"), task_id="nowhere")
        eventually(lambda: reason_of(world, nowhere) == "queue-missing", seconds=60)
        run_id = world.trigger("crowd")
        each = [
            TaskName(dag_id="crowd", run_id=run_id, task_id="one", map_index=index)
            for index in range(4)
        ]
        full = ["started", "workers-at-max", "workers-at-max", "workers-at-max"]
        eventually(lambda: sorted(reason_of(world, one) for one in each) == full, seconds=90)
        run = world.succeeded("crowd", run_id, seconds=400)

        assert {task["try_number"] for task in run["tasks"]} == {1}
        world.delete()
