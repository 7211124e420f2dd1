"""A queue that is merely full fails no task: a real Airflow whose patience ends after seconds."""

from pathlib import Path

import pytest

from apps.dataplane.spec import VariableSpec, WorkerQueue
from tests.dataplane.local_world import local_world
from tests.dataplane.specs import make_code, make_runtime, make_spec

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


crowd()
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

        run = world.succeeded("crowd", world.trigger("crowd"), seconds=400)

        assert {task["try_number"] for task in run["tasks"]} == {1}
        world.delete()
