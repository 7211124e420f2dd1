"""What the passes of apply and delete share: the outcome of a step, and reloading supervisord."""

from apps.dataplane.local.layout import plane_lock
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.status import StepState

Outcome = tuple[StepState, str]
DONE: Outcome = ("done", "")
WAITING: Outcome = ("waiting", "")


def reload_programs(supervisor: Supervisor) -> None:
    """Make supervisord agree with the program files; one caller at a time, or two would add the
    same.
    """
    with plane_lock(supervisor.home):
        supervisor.reload()
