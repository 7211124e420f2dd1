"""Which of Airflow's StatsD names carry what became of a DAG, a task, a pool or an executor.

Airflow from 3.3 sends each of them twice: in this form, and without what tells them apart. A sum
over both would count twice, so that the second is dropped.
"""

import re
from collections.abc import Iterator
from typing import Any

# A name of Airflow below `airflow.`, with its labels in braces; and how Prometheus calls it.
_NAMES = (
    ("dag.{dag_id}.{task_id}.duration", "task_duration", "task.duration"),
    ("dag.{dag_id}.{task_id}.queued_duration", "task_queued_duration", "task.queued_duration"),
    (
        "dag.{dag_id}.{task_id}.scheduled_duration",
        "task_scheduled_duration",
        "task.scheduled_duration",
    ),
    ("dagrun.dependency-check.{dag_id}", "dagrun_dependency_check", "dagrun.dependency-check"),
    ("dagrun.duration.success.{dag_id}", "dagrun_duration", "dagrun.duration.success"),
    ("dagrun.duration.failed.{dag_id}", "dagrun_failed", "dagrun.duration.failed"),
    ("dagrun.schedule_delay.{dag_id}", "dagrun_schedule_delay", "dagrun.schedule_delay"),
    (
        "dagrun.{dag_id}.first_task_scheduling_delay",
        "dagrun_first_task_scheduling_delay",
        "dagrun.first_task_scheduling_delay",
    ),
    ("ti.start.{dag_id}.{task_id}", "ti_start", "ti.start"),
    ("ti.finish.{dag_id}.{task_id}.{state}", "ti_finish", "ti.finish"),
    *(
        (f"ti.{state}.{{queue}}.{{dag_id}}.{{task_id}}", f"ti_{state}", f"ti.{state}")
        for state in ("scheduled", "queued", "running", "deferred")
    ),
    ("operator_failures_{operator}", "operator_failures", "operator_failures"),
    ("operator_successes_{operator}", "operator_successes", "operator_successes"),
    ("task_instance_created_{operator}", "task_instance_created", "task_instance_created"),
    ("task_removed_from_dag.{dag_id}", "task_removed_from_dag", "task_removed_from_dag"),
    ("task_restored_to_dag.{dag_id}", "task_restored_to_dag", "task_restored_to_dag"),
    (
        "local_task_job.task_exit.{job_id}.{dag_id}.{task_id}.{return_code}",
        "",  # a series for each run of a task
        "local_task_job.task_exit",
    ),
    (
        "dag_processing.last_run.seconds_ago.{dag_file}",
        "dag_processing_last_run_seconds_ago",
        "dag_processing.last_run.seconds_ago",
    ),
    (
        "dag_processing.last_runtime.{dag_file}",
        "dag_processing_last_runtime",
        "dag_processing.last_runtime",
    ),
    (
        "dag_processing.last_duration.{bundle}.{dag_file}",
        "dag_processing_last_duration",
        "dag_processing.last_duration",
    ),
    *(
        (f"pool.{what}.{{pool}}", f"pool_{what}", f"pool.{what}")
        for what in (
            "open_slots",
            "queued_slots",
            "running_slots",
            "deferred_slots",
            "scheduled_slots",
            "used_slots",
            "starving_tasks",
        )
    ),
    *(
        (f"executor.{what}.{{executor}}", f"executor_{what}", f"executor.{what}")
        for what in ("open_slots", "queued_tasks", "running_tasks")
    ),
    ("triggers.running.{hostname}", "triggers_running", "triggers.running"),
    ("triggerer.capacity_left.{hostname}", "triggerer_capacity_left", "triggerer.capacity_left"),
)


def _mappings() -> Iterator[dict[str, Any]]:
    for pattern, name, without in _NAMES:
        yield {"match": _matching(without), "match_type": "regex", "action": "drop", "name": "_"}
        one = {"match": _matching(pattern), "match_type": "regex"}
        if not name:
            yield {**one, "action": "drop", "name": "_"}
            continue
        labels = re.findall(r"{(\w+)}", pattern)
        numbered = {label: f"${number}" for number, label in enumerate(labels, start=1)}
        yield {**one, "name": f"airflow_{name}", "labels": numbered}


def _matching(pattern: str) -> str:
    """Return the regular expression of a name. The first of several labels may have dots, as ids of
    DAGs do.
    """
    parts = re.split(r"({\w+})", pattern)
    labels = parts[1::2]
    found = [re.escape(part) if number % 2 == 0 else "" for number, part in enumerate(parts)]
    for number in range(1, len(parts), 2):
        is_wide = parts[number] == ("{dag_id}" if "{dag_id}" in labels else labels[0])
        found[number] = "(.+)" if is_wide else "([^.]+)"
    return f"^airflow\\.{''.join(found)}$"


MAPPINGS = tuple(_mappings())
