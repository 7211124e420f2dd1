"""The health of an Airflow, from one observation. Pure."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from apps.dataplane.local.airflow.metadata.task_counts import TaskCounts
from apps.dataplane.local.airflow.programs import API_SERVER
from apps.dataplane.local.layout import Wanted
from apps.dataplane.local.machine.supervisor import ProgramState
from apps.dataplane.status import ComponentState, ComponentStatus, HealthState

# A component that was started this recently is starting, not unhealthy.
GRACE_SECONDS = 90
HEARTBEAT_SECONDS = 60
REPORT_KEYS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
STATES: Mapping[str, ComponentState] = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "crashing",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "EXITED": "stopped",
    "FATAL": "failed",
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one observation. `report` is Airflow's health report, empty if there is none.
    `running_tasks` names tasks while a scheduler that stops may be waiting for them.
    """

    programs: Mapping[str, ProgramState]
    report: Mapping[str, Mapping[str, str]]
    tasks: TaskCounts | None
    import_errors: int | None
    memory: Mapping[str, int] = field(default_factory=dict)
    cpu: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    running_tasks: str = ""


def core_state(
    component: str, program: ProgramState, heartbeat: datetime | None, facts: Facts
) -> tuple[ComponentState, str]:
    """Return the state, and a message if something is wrong."""
    state = STATES.get(program.state, "unknown")
    if state not in {"running", "starting"}:
        return state, program.description if state in {"crashing", "failed"} else ""
    is_alive = bool(facts.report) if component == API_SERVER else _is_fresh(heartbeat, program)
    if is_alive:
        return "running", ""
    if time.time() - program.started_at < GRACE_SECONDS:
        return "starting", ""
    return (
        "running",
        "It runs but does not answer."
        if component == API_SERVER
        else "It runs but sends no heartbeat.",
    )


def _is_fresh(heartbeat: datetime | None, program: ProgramState) -> bool:
    """Return whether the heartbeat is of this process, not of the one before, and not old."""
    # supervisord reports whole seconds: a heartbeat in the second of the start may be its
    # predecessor's.
    if heartbeat is None or heartbeat < moment(program.started_at + 1):
        return False
    return time.time() - heartbeat.timestamp() < HEARTBEAT_SECONDS


def heartbeat_of(component: str, report: Mapping[str, Mapping[str, str]]) -> datetime | None:
    """Return the last heartbeat of a component in Airflow's health report."""
    key = REPORT_KEYS.get(component, "")
    value = report.get(key, {}).get(f"latest_{key}_heartbeat")
    try:
        return datetime.fromisoformat(value) if value else None
    except ValueError:
        return None


def verdict(
    components: tuple[ComponentStatus, ...], facts: Facts, wanted: Wanted
) -> tuple[HealthState, str]:
    """Return the health of Airflow as a whole, and a message: api-server and scheduler decide."""
    if not wanted.core:
        return "stopped", "Airflow is stopped while its metadata database is being migrated."
    by_name = {status.name: status for status in components}
    vital = [by_name[API_SERVER], by_name["scheduler"]]
    if all(status.ready for status in vital):
        if facts.report.get("metadatabase", {}).get("status") != "healthy":
            return "unhealthy", "Airflow cannot reach its metadata database."
        return "healthy", "Airflow is healthy."
    late = next(status for status in vital if not status.ready)
    if late.state == "starting":
        return "starting", f"The {late.name} is starting."
    messages = {
        "crashing": f"The {late.name} crashed and is being restarted.",
        "failed": f"The {late.name} exits as soon as it is started.",
        "stopped": f"The {late.name} is stopped.",
        "stopping": f"The {late.name} is being restarted.",
    }
    if late.state == "stopping":
        return "starting", messages["stopping"]
    return "unhealthy", messages.get(late.state, f"The {late.name} runs but does not answer.")


def hibernation_message(facts: Facts) -> str:
    """Say how far an Airflow that hibernates has stopped."""
    if not any(program.pid for program in facts.programs.values()):
        return "Nothing of Airflow runs until it wakes. Its data stays."
    if facts.running_tasks:
        return f"Airflow stops when its tasks have ended: {facts.running_tasks}."
    return "Airflow is stopping."


def moment(seconds: float) -> datetime:
    """Return a Unix time as a datetime."""
    return datetime.fromtimestamp(seconds, UTC)
