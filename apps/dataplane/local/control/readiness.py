"""Decide how long to wait for an Airflow to become healthy, and which component failed if not."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.logs import log_files
from apps.dataplane.local.airflow.programs import API_SERVER, component_of, status_name
from apps.dataplane.local.airflow.steps import DONE, Outcome
from apps.dataplane.local.control.restarts import count_restarts
from apps.dataplane.local.layout import Folder, State, read_wanted, save_state
from apps.dataplane.local.machine.supervisor import ProgramState
from apps.dataplane.status import ComponentStatus, Observation

LOG_LINES = 30
CRASH_LOOP_SECONDS = 60


class Readiness:
    """The wait of one revision. It begins with the first observation, and is kept in the state."""

    def __init__(
        self, *, folder: Folder, state: State, revision: int, programs: Mapping[str, ProgramState]
    ) -> None:
        self.folder = folder
        self.state = state
        self.revision = revision
        self.programs = programs

    def step(self, observation: Observation, *, timeout_seconds: int) -> Outcome:
        """Return whether everything is ready. Raises Permanent when a component will not be."""
        late = [status for status in observation.components if status.ready < status.wanted]
        if observation.health == "healthy" and not late:
            return DONE
        waited = self._waited_seconds()
        failed = next((status for status in late if self._has_failed(status, waited)), None)
        if failed is None and waited < timeout_seconds:
            names = ", ".join(status.name for status in late)
            return ("running", f"Waiting for {names}." if names else observation.message)
        name = failed.name if failed else late[0].name if late else API_SERVER
        what = (
            "exits soon after it is started" if failed else f"was not ready in {waited:.0f} seconds"
        )
        lines = self._last_lines(name)
        self.state.wait_began_at = 0.0
        save_state(self.folder, self.state)
        raise Permanent(f"The {name} of this Deployment {what}.", component=name, log=lines)

    def _last_lines(self, name: str) -> tuple[str, ...]:
        """Return what the processes wrote that are to blame: not their neighbors in the queue, and
        not those of the revision before, which may be finishing tasks.
        """
        blamed = self._blamed(name)
        starts = {
            component_of(self.folder.ref, program.name): datetime.fromtimestamp(
                program.started_at, UTC
            )
            for program in blamed
        }
        return log_files.last_lines_since(self.folder, starts, LOG_LINES)

    def _blamed(self, name: str) -> list[ProgramState]:
        wanted = read_wanted(self.folder)
        names = [*wanted.core, *(one for queue in wanted.queues for one in queue.programs)]
        ours = [
            self.programs[program]
            for program in names
            if program in self.programs and status_name(self.folder.ref, program) == name
        ]
        given_up = [program for program in ours if program.state in {"FATAL", "BACKOFF"}]
        since = self.state.wait_began_at
        restarted = [program for program in ours if program.started_at > since > 0]
        return given_up or restarted or [program for program in ours if program.started_at]

    def _has_failed(self, status: ComponentStatus, waited: float) -> bool:
        """Return whether supervisord gave the component up, or it ended long after the others had
        started.

        A start alone proves nothing: a worker may have been added because tasks wait.
        """
        if status.state == "failed" or waited <= CRASH_LOOP_SECONDS:
            return status.state == "failed"
        settled_at = self.state.wait_began_at + CRASH_LOOP_SECONDS / 2
        since = datetime.fromtimestamp(settled_at, UTC)
        return count_restarts(self.folder, since=since)[status.name] > 0

    def _waited_seconds(self) -> float:
        if self.state.revision != self.revision or not self.state.wait_began_at:
            self.state.revision = self.revision
            self.state.wait_began_at = time.time()
            save_state(self.folder, self.state)
        return time.time() - self.state.wait_began_at
