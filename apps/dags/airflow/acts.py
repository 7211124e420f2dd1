"""Actions on DAGs, runs and tasks, as Airflow's public REST API (`/api/v2`) takes them. Each raises
AirflowSilent, NotInAirflow and ActRefused.
"""

from typing import Any

from apps.dags.airflow.api import DAGS, AirflowApi, check_id, check_run_id
from apps.dags.airflow.tasks import task_path
from apps.dataplane.untrusted import text_of

STATES = ("success", "failed")


def trigger_dag(
    airflow: AirflowApi, *, dag_id: str, conf: dict[str, Any], note: str, run_id: str = ""
) -> str:
    """Start a run of a DAG and return its id, "" where Airflow does not say it. A second run with a
    given `run_id` is refused.
    """
    # Without a logical date any number of runs can be triggered in the same second.
    body = {"logical_date": None, "conf": conf, "note": note}
    if run_id:
        body["dag_run_id"] = check_run_id(run_id)
    said = airflow.send("POST", DAGS, check_id(dag_id), "dagRuns", json=body)
    return text_of(said.get("dag_run_id"), 250)


def pause_dag(airflow: AirflowApi, *, dag_id: str, is_paused: bool) -> None:
    """Pause a DAG or let it run on its schedule again."""
    airflow.send("PATCH", DAGS, check_id(dag_id), json={"is_paused": is_paused})


def clear_run(airflow: AirflowApi, *, dag_id: str, run_id: str, only_failed: bool) -> None:
    """Let the tasks of a run, or those that failed, run again."""
    body = {"dry_run": False, "only_failed": only_failed}
    airflow.send("POST", *_run_path(dag_id, run_id), "clear", json=body)


def mark_run(airflow: AirflowApi, *, dag_id: str, run_id: str, state: str) -> None:
    """Set the state of a run, one of STATES."""
    airflow.send("PATCH", *_run_path(dag_id, run_id), json={"state": state})


def clear_task(
    airflow: AirflowApi, *, ids: tuple[str, str, str], map_index: int, with_downstream: bool
) -> None:
    """Let a task run again, perhaps with those after it. `ids` are of DAG, run and task."""
    dag_id, run_id, task_id = check_id(ids[0]), check_run_id(ids[1]), check_id(ids[2])
    body = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": [[task_id, map_index] if map_index >= 0 else task_id],
        "only_failed": False,
        "reset_dag_runs": True,
        "include_downstream": with_downstream,
    }
    airflow.send("POST", DAGS, dag_id, "clearTaskInstances", json=body)


def mark_task(
    airflow: AirflowApi, *, ids: tuple[str, str, str], map_index: int, state: str
) -> None:
    """Set the state of a task of a run, one of STATES."""
    airflow.send("PATCH", *task_path(*ids, map_index=map_index), json={"new_state": state})


def _run_path(dag_id: str, run_id: str) -> tuple[str, ...]:
    return (DAGS, check_id(dag_id), "dagRuns", check_run_id(run_id))
