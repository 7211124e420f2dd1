"""The step that lets a backup take the place of a metadata database.

The archive is restored into a database beside the one in use, by a supervised program; Airflow runs
on meanwhile. Only when that has ended well, Airflow is stopped and the databases change places. A
pass that is killed at any point is simply repeated.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.migration import COMPONENT, stop_core
from apps.dataplane.local.airflow.programs import RESTORE, program_name
from apps.dataplane.local.airflow.runtimes import installer_environment
from apps.dataplane.local.airflow.steps import DONE, Outcome, reload_programs
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State, save_state
from apps.dataplane.local.machine.supervisor import Program, Supervisor
from apps.dataplane.spec import DeploymentSpec, RestoreSpec, failed_note

LOG_LINES = 30
MODULE = "apps.dataplane.local.backups.restore_program"


class Restoration:
    """The step of one Deployment; see `migration.Migration`, whose sibling it is."""

    def __init__(
        self, *, folder: Folder, state: State, spec: DeploymentSpec, supervisor: Supervisor
    ) -> None:
        self.folder = folder
        self.state = state
        self.wanted = spec.restore
        self.supervisor = supervisor
        self.name = program_name(spec.ref, RESTORE)

    def step(self, config: LocalConfig, running_tasks: Callable[[], str]) -> Outcome:
        """Begin to restore, or continue. Raises Permanent."""
        if self.wanted is None or self.state.restored == self.wanted.key:
            return ("skipped", "")
        program = self.supervisor.states(self.name).get(self.name)
        if program is None:
            return self._fetched(self.wanted) or self._begin(self.wanted)
        if program.state == "STOPPED":
            self.supervisor.start(self.name)
        if program.state == "STOPPED" or program.is_up or program.state == "STOPPING":
            return ("running", "Reading the backup. Airflow runs on meanwhile.")
        if program.exit_status != 0 or program.state != "EXITED":
            raise self._failure()
        outcome = stop_core(self.supervisor, self.folder, running_tasks)
        if outcome != DONE:
            return outcome
        return self._change_places(config, self.wanted)

    def _fetched(self, wanted: RestoreSpec) -> Outcome | None:
        """Wait for a file that the portal gets from elsewhere."""
        path = Path(wanted.dump_path)
        if not wanted.is_fetched or path.is_file():
            return None
        note = failed_note(path)
        if not note.is_file():
            return ("running", "Getting the backup from its bucket. Airflow runs on meanwhile.")
        reason = note.read_text(errors="replace")
        # Read once: what is tried again waits for another answer.
        note.unlink(missing_ok=True)
        raise Permanent(
            f"The backup could not be restored, so nothing was changed. {reason[:300]}",
            component=COMPONENT,
        )

    def _begin(self, wanted: RestoreSpec) -> Outcome:
        arguments = [
            *(self.folder.ref, wanted.dump_path, wanted.sha256),
            "pause" if wanted.pauses_dags else "keep",
        ]
        self._log.unlink(missing_ok=True)
        program = Program(
            name=self.name,
            command=[sys.executable, "-m", MODULE, *arguments],
            environment=installer_environment(self.folder.home),
            directory=self.folder.path,
            log_file=self._log,
            is_restarted=False,
            start_seconds=0,
            start_retries=0,
        )
        self.supervisor.write(program)
        reload_programs(self.supervisor)
        self.supervisor.start(self.name)
        return ("running", "Reading the backup. Airflow runs on meanwhile.")

    def _change_places(self, config: LocalConfig, wanted: RestoreSpec) -> Outcome:
        database.finish_restore(config, self.folder)
        self.state.database_airflow = wanted.airflow_version
        self.state.migrating_to = ""
        self.state.restored = wanted.key
        save_state(self.folder, self.state)
        self._remove_program()
        return DONE

    def _failure(self) -> Permanent:
        lines = tuple(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        self._remove_program()
        reason = lines[-1] if lines else "The program ended early."
        return Permanent(
            f"The backup could not be restored, so nothing was changed. {reason[:300]}",
            component=COMPONENT,
            log=lines,
        )

    def _remove_program(self) -> None:
        self.supervisor.remove(self.name)
        reload_programs(self.supervisor)

    @property
    def _log(self) -> Path:
        return self.folder.process_logs / "restore.log"
