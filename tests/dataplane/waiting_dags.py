"""DAGs whose tasks wait, each for one reason, and which reason that is."""

POOL = "tiny"
SOURCE = """
import asyncio
import time
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.sensors.python import PythonSensor
from airflow.sdk import DAG, BaseOperator, task
from long_naps import LongNap

NAP = 240


def nap(number=0):
    time.sleep(NAP)


def fail():
    raise ValueError("on purpose")


class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=LongNap(), method_name="wake")

    def wake(self, context, event=None):
        return None


def napping(task_id, **arguments):
    return task(task_id=task_id, **arguments)(nap)()


with DAG("why_pool", schedule=None):
    napping("first", pool="tiny", priority_weight=9)
    napping("second", pool="tiny")
with DAG("why_no_pool", schedule=None):
    napping("lost", pool="nowhere")
with DAG("why_small_pool", schedule=None):
    napping("large", pool="tiny", pool_slots=3)
with DAG("why_max_tasks", schedule=None, max_active_tasks=1):
    napping("first", priority_weight=9)
    napping("second")
with DAG("why_task_limit", schedule=None):
    task(task_id="each", max_active_tis_per_dagrun=1)(nap).expand(number=[1, 2])
with DAG("why_max_runs", schedule=None, max_active_runs=1):
    napping("only")
with DAG("why_paused", schedule=None):
    napping("paused")
with DAG("why_upstream", schedule=None):
    napping("before") >> napping("after")
with DAG("why_past", schedule=None):
    task(task_id="past", depends_on_past=True)(fail)()
with DAG("why_downstream", schedule=None):
    first = task(task_id="past", wait_for_downstream=True)(lambda: None)()
    first >> task(task_id="after")(fail)()
with DAG("why_start", schedule=None):
    napping("early", start_date=datetime(2025, 1, 1, tzinfo=UTC))
    napping("late", start_date=datetime(2099, 1, 1, tzinfo=UTC))
with DAG("why_unknown", schedule=None):
    task(task_id="quick")(lambda: None)()
with DAG("why_retry", schedule=None):
    task(task_id="again", retries=2, retry_delay=timedelta(hours=1))(fail)()
with DAG("why_deferred", schedule=None):
    Deferring(task_id="away")
with DAG("why_reschedule", schedule=None):
    PythonSensor(
        task_id="sensor", python_callable=lambda: False, mode="reschedule", poke_interval=3600
    )
"""
TRIGGER = """
import asyncio
from airflow.triggers.base import BaseTrigger, TriggerEvent


class LongNap(BaseTrigger):
    def serialize(self):
        return ("long_naps.LongNap", {})

    async def run(self):
        await asyncio.sleep(3600)
        yield TriggerEvent("done")
"""
FILES = {"waiting_on_purpose.py": SOURCE, "long_naps.py": TRIGGER}
# DAG, which of its runs (counted from 0), task, map index: the reason.
REASONS = {
    ("why_pool", 0, "second", -1): "pool-full",
    ("why_no_pool", 0, "lost", -1): "pool-missing",
    ("why_small_pool", 0, "large", -1): "pool-too-small",
    ("why_max_tasks", 0, "second", -1): "max-active-tasks",
    ("why_max_runs", 1, "only", -1): "max-active-runs",
    ("why_upstream", 0, "after", -1): "upstream",
    ("why_past", 1, "past", -1): "depends-on-past",
    ("why_downstream", 1, "past", -1): "depends-on-past",
    ("why_no_pool", 1, "lost", -1): "starts-later",
    ("why_start", 0, "late", -1): "before-start-date",
    ("why_retry", 0, "again", -1): "retry",
    ("why_deferred", 0, "away", -1): "deferred",
    ("why_reschedule", 0, "sensor", -1): "reschedule",
}
# In this order, each group once so many tasks of those before run: the executor has four slots, the
# first ones need a moment of one, and the last finds none.
GROUPS = (
    (0, ("why_deferred", "why_retry", "why_reschedule")),
    (0, ("why_pool", "why_max_tasks", "why_task_limit")),
    (3, ("why_max_runs",)),
    (4, ("why_max_runs", "why_no_pool", "why_small_pool", "why_upstream")),
)
# It may have been handed to the executor already.
WITHOUT_A_SLOT = ("why_upstream", 0, "before", -1)
# What these runs are made with.
BODIES = {
    ("why_no_pool", 1): {"logical_date": None, "run_after": "2099-01-01T00:00:00Z"},
    ("why_start", 0): {"logical_date": "2026-01-03T00:00:00Z"},
}
AFTER_A_FAILURE = ("why_past", "why_downstream")
PAUSED, MAPPED = "why_paused", "why_task_limit"
# Reasons that a real Airflow is made to give by other tests, and by which.
ELSEWHERE = {
    "started": "dataplane/test_small_airflow.py",
    "executor-slots": "dataplane/test_small_airflow.py",
    "parallelism": "dataplane/test_small_airflow.py",
    "scheduler-away": "dataplane/test_small_airflow.py",
    "triggerer-away": "dataplane/test_small_airflow.py",
    "unknown": "dataplane/test_small_airflow.py",
    "run-over": "dataplane/test_small_airflow.py",
    "broker-away": "dataplane/test_full_queue.py",
    "execution-api-away": "dataplane/test_full_queue.py",
    "queue-missing": "dataplane/test_full_queue.py",
    "workers-at-max": "dataplane/test_full_queue.py",
    "workers-crash": "dataplane/test_full_queue.py",
    "no-workers": "dataplane/test_local_airflow.py",
    "scaling-up": "dataplane/test_local_airflow.py",
    "nothing": "dataplane/test_local_airflow.py",
    "taken-by-none": "dataplane/test_local_airflow.py",
    "pod-pending": "cluster/test_portal_with_a_cluster.py",
    "quota": "cluster/test_portal_with_a_cluster.py",
    "scaling-stuck": "cluster/test_portal_with_a_cluster.py",
}
