"""What the passes of apply and delete share: the outcome of a step, and reloading supervisord."""

from collections.abc import Sequence

from apps.dataplane.errors import Temporary
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.metadata.task_counts import RUNNING_TASKS, name_tasks
from apps.dataplane.local.airflow.programs import TASK_SECONDS
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State, plane_lock
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.status import StepState

Outcome = tuple[StepState, str]
DONE: Outcome = ("done", "")
WAITING: Outcome = ("waiting", "")


def waiting_for(components: Sequence[str], tasks: str) -> Outcome:
    """Return the outcome of a step that waits for old components to stop. `tasks` are those that
    the scheduler still runs: it is the only one that has any.
    """
    if tasks and "scheduler" in components:
        minutes = TASK_SECONDS // 60
        return (
            "running",
            f"Waiting up to {minutes} minutes for tasks that the scheduler runs: {tasks}. "
            "Tasks that take longer are stopped.",
        )
    return ("running", f"Waiting for the old {', '.join(components)} to stop.")


def running_tasks(config: LocalConfig, folder: Folder, state: State) -> str:
    """Name the running tasks of a Deployment; empty while its database does not answer."""
    try:
        with database.deployment_connection(config, folder, state) as connection:
            return name_tasks(connection.execute(RUNNING_TASKS).fetchall())
    except Temporary:
        return ""


def reload_programs(supervisor: Supervisor) -> None:
    """Make supervisord agree with the program files; one caller at a time, or two would add the
    same.
    """
    with plane_lock(supervisor.home):
        supervisor.reload()
