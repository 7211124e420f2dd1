"""Stop an Airflow that hibernates: no task starts, those that run end, then the rest stops.

Called again and again, by the keeper and by the pass of an edit; what was asked to stop is left
alone. The api-server is the last, because tasks report to it. Waking needs no counterpart: the
keeper starts whatever is wanted and stopped.
"""

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import psutil

from apps.dataplane.hibernation.plans import HibernationPlan
from apps.dataplane.hibernation.turns import hibernates_since
from apps.dataplane.local.airflow.programs import (
    API_SERVER,
    MIGRATE,
    RESTORE,
    component_of,
    program_name,
)
from apps.dataplane.local.airflow.steps import DONE, Outcome
from apps.dataplane.local.layout import Folder
from apps.dataplane.local.machine.supervisor import ProgramState, Supervisor

logger = logging.getLogger("keeper")

# What runs no task needs as long to stop.
GRACE = timedelta(seconds=20)


def stop(
    folder: Folder,
    plan: HibernationPlan,
    *,
    supervisor: Supervisor,
    now: datetime,
    running_tasks: Callable[[], str] = str,
) -> Outcome:
    """Do what can be done now, and say what is waited for. Tasks that run longer than the plan
    gives them are killed with their worker.
    """
    up = _up(folder, supervisor)
    api_server = up.pop(program_name(folder.ref, API_SERVER), None)
    for program in up.values():
        if program.state != "STOPPING":
            logger.info("%s: hibernates", program.name)
            supervisor.stop(program.name)
    if up:
        limit = hibernates_since(plan, now) + timedelta(minutes=plan.task_minutes) + GRACE
        if now >= limit:
            _kill(up)
        return ("running", _waiting(running_tasks(), limit))
    if api_server is None:
        return DONE
    if api_server.state != "STOPPING":
        supervisor.stop(api_server.name)
    return ("running", "Waiting for the api-server to stop.")


def _up(folder: Folder, supervisor: Supervisor) -> dict[str, ProgramState]:
    """Return what has a process, by name, but not what works on the metadata database once."""
    once = {program_name(folder.ref, MIGRATE), program_name(folder.ref, RESTORE)}
    return {
        name: program
        for name, program in supervisor.states(f"{folder.ref}--").items()
        if component_of(folder.ref, name) and program.pid and name not in once
    }


def _waiting(tasks: str, limit: datetime) -> str:
    if not tasks:
        return "Waiting for workers and scheduler to stop."
    return f"Waiting for tasks: {tasks}. What still runs at {limit:%H:%M} UTC is ended."


def _kill(up: dict[str, ProgramState]) -> None:
    for program in up.values():
        logger.warning("%s: its tasks took too long, killed", program.name)
        with suppress(psutil.Error):
            process = psutil.Process(program.pid)
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.Error):
                    one.send_signal(signal.SIGKILL)
