"""Actions on DAGs, runs and tasks: done by Airflow for the portal's own account, recorded here with
the name of the person.

Airflow sees one account for everybody who acts here; the audit log of the portal says who it was.
An action is recorded once Airflow did it, and also when Airflow gave no answer: it may have.
"""

from typing import Any

from apps.accounts.models import User
from apps.audit.services import record
from apps.dags.airflow.api import (
    DAGS,
    AirflowApi,
    AirflowSilent,
    airflow_of,
    check_id,
    check_run_id,
)
from apps.dags.airflow.tasks import task_path
from apps.dags.airflow.values import text_of
from apps.dags.summaries import keep_paused
from apps.deployments.models import Deployment

STATES = {"success": "success", "failed": "failed"}


def trigger_dag(
    *, actor: User, deployment: Deployment, dag_id: str, conf: dict[str, Any], note: str
) -> str:
    """Start a run of a DAG and return its id. `conf` is never recorded: it may hold secrets. Raises
    AirflowSilent, NotInAirflow and ActRefused.
    """
    body = {
        "logical_date": None,
        "conf": conf,
        "note": note or f"Triggered by {actor} in Astro Portal",
    }
    changes = {"configuration": [None, "given" if conf else "none"]}
    said = _act(
        ("POST", DAGS, check_id(dag_id), "dagRuns"),
        body,
        actor=actor,
        deployment=deployment,
        action="dag.triggered",
        changes={"DAG": [None, dag_id], **changes},
    )
    return text_of(said.get("dag_run_id"), 250)


def pause_dag(*, actor: User, deployment: Deployment, dag_id: str, is_paused: bool) -> None:
    """Pause a DAG or let it run on its schedule again. Raises as `trigger_dag`."""
    _act(
        ("PATCH", DAGS, check_id(dag_id)),
        {"is_paused": is_paused},
        actor=actor,
        deployment=deployment,
        action="dag.paused" if is_paused else "dag.unpaused",
        changes={"DAG": [None, dag_id]},
    )
    keep_paused(deployment=deployment, dag_id=dag_id, is_paused=is_paused)


def clear_run(
    *, actor: User, deployment: Deployment, dag_id: str, run_id: str, only_failed: bool
) -> None:
    """Let the tasks of a run, or those that failed, run again. Raises as `trigger_dag`."""
    _act(
        ("POST", DAGS, check_id(dag_id), "dagRuns", check_run_id(run_id), "clear"),
        {"dry_run": False, "only_failed": only_failed},
        actor=actor,
        deployment=deployment,
        action="dag.run_cleared",
        changes={
            "DAG": [None, dag_id],
            "run": [None, run_id],
            "tasks": [None, "failed" if only_failed else "all"],
        },
    )


def mark_run(*, actor: User, deployment: Deployment, dag_id: str, run_id: str, state: str) -> None:
    """Set the state of a run, "success" or "failed"; Airflow ends what still runs of it. Raises as
    `trigger_dag`.
    """
    _act(
        ("PATCH", DAGS, check_id(dag_id), "dagRuns", check_run_id(run_id)),
        {"state": STATES[state]},
        actor=actor,
        deployment=deployment,
        action="dag.run_marked",
        changes={"DAG": [None, dag_id], "run": [None, run_id], "state": [None, state]},
    )


def clear_task(
    *,
    actor: User,
    deployment: Deployment,
    ids: tuple[str, str, str],
    map_index: int,
    with_downstream: bool,
) -> None:
    """Let a task of a run, perhaps with those after it, run again. `ids` are of DAG, run and task.
    Raises as `trigger_dag`.
    """
    dag_id, run_id, task_id = check_id(ids[0]), check_run_id(ids[1]), check_id(ids[2])
    body = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": [[task_id, map_index] if map_index >= 0 else task_id],
        "only_failed": False,
        "reset_dag_runs": True,
        "include_downstream": with_downstream,
    }
    _act(
        ("POST", DAGS, dag_id, "clearTaskInstances"),
        body,
        actor=actor,
        deployment=deployment,
        action="dag.task_cleared",
        changes={
            **_task_changes(ids, map_index),
            "downstream": [None, "too" if with_downstream else "left"],
        },
    )


def mark_task(
    *,
    actor: User,
    deployment: Deployment,
    ids: tuple[str, str, str],
    map_index: int,
    state: str,
) -> None:
    """Set the state of a task of a run, "success" or "failed". Raises as `trigger_dag`."""
    _act(
        ("PATCH", *task_path(*ids, map_index=map_index)),
        {"new_state": STATES[state]},
        actor=actor,
        deployment=deployment,
        action="dag.task_marked",
        changes={**_task_changes(ids, map_index), "state": [None, state]},
    )


def _task_changes(ids: tuple[str, str, str], map_index: int) -> dict[str, Any]:
    dag_id, run_id, task_id = ids
    name = task_id if map_index < 0 else f"{task_id} [{map_index}]"
    return {"DAG": [None, dag_id], "run": [None, run_id], "task": [None, name]}


def _act(
    request: tuple[str, ...],
    body: dict[str, Any],
    *,
    actor: User,
    deployment: Deployment,
    action: str,
    changes: dict[str, Any],
) -> dict[str, Any]:
    """Send the action and record it."""
    airflow: AirflowApi = airflow_of(deployment)
    try:
        said = airflow.send(*request, json=body)
    except AirflowSilent as silence:
        _record(actor, deployment, action, {**changes, "answer of Airflow": [None, "none"]})
        raise AirflowSilent(
            f"{silence.message} Airflow may have done it nevertheless: look before you repeat it."
        ) from silence
    _record(actor, deployment, action, changes)
    return said


def _record(actor: User, deployment: Deployment, action: str, changes: dict[str, Any]) -> None:
    record(
        action=action,
        actor=actor,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes=changes,
    )
