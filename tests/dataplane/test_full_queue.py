"""A queue that is merely full fails no task, and is the reason that each of them gives: a real
Airflow whose patience ends after seconds.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from apps.dataplane.local.layout import Folder, read_state
from apps.dataplane.spec import VariableSpec, WorkerQueue
from apps.observability.why.facts import TaskName
from tests.dataplane.local_world import LocalWorld, local_world
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


@dag(schedule=None)
def pair():
    @task
    def one(number):
        return number

    one.expand(number=list(range(2)))


crowd()
lost()
pair()
"""
# Ten minutes made short: every task but the first waits for at least twice as long.
SHORT = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "4",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "1",
    "AIRFLOW__CORE__PARALLELISM": "64",
}


# An API that answers, to a worker that gives it no time to.
DEAF = {
    "AIRFLOW__CORE__PARALLELISM": "64",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "0",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "12",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "3",
}


def variables_of(values: Mapping[str, str]) -> tuple[VariableSpec, ...]:
    return tuple(VariableSpec(key=k, value=v, is_secret=False) for k, v in values.items())


def each_of(dag_id: str, run_id: str, count: int) -> list[TaskName]:
    return [
        TaskName(dag_id=dag_id, run_id=run_id, task_id="one", map_index=index)
        for index in range(count)
    ]


def test_tasks_that_wait_for_longer_than_airflow_s_patience_run_in_the_end(tmp_path: Path) -> None:
    queue = WorkerQueue(name="default", concurrency=1, min_workers=1, max_workers=1)
    code = make_code(tmp_path, {"crowd.py": DAG})
    with local_world(make_runtime()) as world:
        spec = make_spec("full-comet", queues=(queue,), variables=variables_of(DEAF), code=code)
        world.create(spec)

        nowhere = TaskName(dag_id="lost", run_id=world.trigger("lost"), task_id="nowhere")
        eventually(lambda: reason_of(world, nowhere) == "queue-missing", seconds=60)
        _lose_the_execution_api_and_the_broker(world)
        world.apply(variables=variables_of(SHORT))
        run_id = world.trigger("crowd")
        each = each_of("crowd", run_id, 4)
        full = ["started", "workers-at-max", "workers-at-max", "workers-at-max"]
        eventually(lambda: sorted(reason_of(world, one) for one in each) == full, seconds=90)
        run = world.succeeded("crowd", run_id, seconds=400)

        assert {task["try_number"] for task in run["tasks"]} == {1}
        _kill_each_worker_that_starts(world)
        world.delete()


def _lose_the_execution_api_and_the_broker(world: LocalWorld) -> None:
    run_id = world.trigger("pair")
    each = each_of("pair", run_id, 2)

    def reasons() -> set[str]:
        return {reason_of(world, one) for one in each}

    eventually(lambda: _age_what_is_taken(world), seconds=60)
    assert reasons() == {"execution-api-away"}
    with stopped(world.plane_supervisor().states("valkey")["valkey"].pid):
        assert reasons() == {"broker-away"}
    assert reasons() == {"execution-api-away"}
    world.airflow("PATCH", f"/api/v2/dags/pair/dagRuns/{run_id}", {"state": "failed"})


def _age_what_is_taken(world: LocalWorld) -> bool:
    """Let a task that a worker has taken be taken half a minute earlier; return whether one is."""
    assert world.spec
    state = read_state(Folder(world.home, world.spec.ref))
    assert state
    with Redis.from_url(world.plane.config.broker(state.broker_number)) as broker:
        keys = list(broker.scan_iter("celery-task-meta-*"))
        return any(broker.expire(key, broker.ttl(key) - 30) for key in keys)


def _kill_each_worker_that_starts(world: LocalWorld) -> None:
    """As a machine without memory does."""
    run_id = world.trigger("pair")
    each = each_of("pair", run_id, 2)

    def is_said() -> bool:
        for name, pid in world.pids().items():
            if "--worker-" in name:
                os.kill(pid, signal.SIGKILL)
        return {reason_of(world, one) for one in each} == {"workers-crash"}

    eventually(is_said, seconds=90, every=0.2)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
