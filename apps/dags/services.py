"""Actions on DAGs, runs and tasks: done by Airflow for the portal's own account, recorded here with
the name of the person.

Airflow sees one account for everyone who acts here; the audit log of the portal says who it was.
An action is recorded once Airflow did it, and also when Airflow gave no answer: it may have.
Each function raises AirflowSilent, NotInAirflow and ActRefused.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from apps.accounts.models import User
from apps.audit.services import record
from apps.dags.airflow import acts
from apps.dags.airflow.api import AirflowApi, AirflowSilent, airflow_of
from apps.dags.summaries import keep_paused
from apps.deployments.models import Deployment

Answer = TypeVar("Answer")


def trigger_dag(
    *,
    actor: User,
    deployment: Deployment,
    dag_id: str,
    conf: dict[str, Any],
    note: str,
    run_id: str = "",
) -> str:
    """Start a run of a DAG and return its id, which Airflow makes up unless it is given. `conf` is
    never recorded: it may hold secrets.
    """
    # Airflow's own records name the portal's account alone.
    by = f"Triggered by {actor} in Astro Portal"
    note = f"{note}\n{by}" if note else by
    return _act(
        lambda airflow: acts.trigger_dag(
            airflow, dag_id=dag_id, conf=conf, note=note, run_id=run_id
        ),
        actor=actor,
        deployment=deployment,
        action="dag.triggered",
        changes={"DAG": dag_id, "configuration": "given" if conf else "none"},
    )


def pause_dag(*, actor: User, deployment: Deployment, dag_id: str, is_paused: bool) -> None:
    """Pause a DAG or let it run on its schedule again."""
    _act(
        lambda airflow: acts.pause_dag(airflow, dag_id=dag_id, is_paused=is_paused),
        actor=actor,
        deployment=deployment,
        action="dag.paused" if is_paused else "dag.unpaused",
        changes={"DAG": dag_id},
    )
    keep_paused(deployment=deployment, dag_id=dag_id, is_paused=is_paused)


def clear_run(
    *, actor: User, deployment: Deployment, dag_id: str, run_id: str, only_failed: bool
) -> None:
    """Let the tasks of a run, or those that failed, run again."""
    _act(
        lambda airflow: acts.clear_run(
            airflow, dag_id=dag_id, run_id=run_id, only_failed=only_failed
        ),
        actor=actor,
        deployment=deployment,
        action="dag.run_cleared",
        changes={"DAG": dag_id, "run": run_id, "tasks": "failed" if only_failed else "all"},
    )


def mark_run(*, actor: User, deployment: Deployment, dag_id: str, run_id: str, state: str) -> None:
    """Set the state of a run, one of `acts.STATES`; Airflow ends what still runs of it."""
    _act(
        lambda airflow: acts.mark_run(airflow, dag_id=dag_id, run_id=run_id, state=state),
        actor=actor,
        deployment=deployment,
        action="dag.run_marked",
        changes={"DAG": dag_id, "run": run_id, "state": state},
    )


def clear_task(
    *,
    actor: User,
    deployment: Deployment,
    ids: tuple[str, str, str],
    map_index: int,
    with_downstream: bool,
) -> None:
    """Let a task run again, perhaps with those after it. `ids` are of DAG, run and task."""
    _act(
        lambda airflow: acts.clear_task(
            airflow, ids=ids, map_index=map_index, with_downstream=with_downstream
        ),
        actor=actor,
        deployment=deployment,
        action="dag.task_cleared",
        changes={
            **_task_changes(ids, map_index),
            "downstream tasks": "cleared" if with_downstream else "left",
        },
    )


def mark_task(
    *, actor: User, deployment: Deployment, ids: tuple[str, str, str], map_index: int, state: str
) -> None:
    """Set the state of a task of a run, one of `acts.STATES`."""
    _act(
        lambda airflow: acts.mark_task(airflow, ids=ids, map_index=map_index, state=state),
        actor=actor,
        deployment=deployment,
        action="dag.task_marked",
        changes={**_task_changes(ids, map_index), "state": state},
    )


def _task_changes(ids: tuple[str, str, str], map_index: int) -> dict[str, str]:
    dag_id, run_id, task_id = ids
    name = task_id if map_index < 0 else f"{task_id} [{map_index}]"
    return {"DAG": dag_id, "run": run_id, "task": name}


def _act(
    do: Callable[[AirflowApi], Answer],
    *,
    actor: User,
    deployment: Deployment,
    action: str,
    changes: dict[str, str],
) -> Answer:
    airflow = airflow_of(deployment)
    try:
        answer = do(airflow)
    except AirflowSilent as silence:
        _record(actor, deployment, action, {**changes, "answer of Airflow": "none"})
        raise AirflowSilent(
            f"{silence.message} Airflow may have done it nevertheless: look before you repeat it."
        ) from silence
    _record(actor, deployment, action, changes)
    return answer


def _record(actor: User, deployment: Deployment, action: str, changes: dict[str, str]) -> None:
    record(
        action=action,
        actor=actor,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes={name: [None, value] for name, value in changes.items()},
    )
