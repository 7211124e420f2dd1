"""Ends schedulers that should stop, run no task, and do not come to an end.

LocalExecutor waits without a limit for processes of its own that wait for work. One that was missed
when they were told to end keeps the scheduler for the ten minutes that its tasks would be given,
and everything that waits for the old scheduler with it.
"""

import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from apps.dataplane.local.machine.processes import running_task_count
from apps.dataplane.local.machine.supervisor import ProgramState

logger = logging.getLogger("keeper")

SUFFIX = "--scheduler"
PATIENCE_SECONDS = 60.0


@dataclass
class HungSchedulers:
    """Remembers since when each stopping scheduler has had no task."""

    since: dict[int, float] = field(default_factory=dict)

    def end(self, states: Mapping[str, ProgramState], now: float) -> None:
        """Kill those that have had no task for a minute; `now` is a monotonic time."""
        stopping = {
            program.pid: name
            for name, program in states.items()
            if name.endswith(SUFFIX) and program.state == "STOPPING" and program.pid
        }
        self.since = {
            pid: self.since.get(pid, now) for pid in stopping if not running_task_count(pid)
        }
        for pid, began in self.since.items():
            if now - began >= PATIENCE_SECONDS:
                logger.warning("%s: did not stop without a task, killed", stopping[pid])
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
