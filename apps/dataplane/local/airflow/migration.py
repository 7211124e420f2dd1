"""Migrate a metadata database to the Airflow of the spec: a supervised program that runs once.

Programs that use the database are stopped before and started again by the steps that follow.
Workers keep running: they never access it.
"""

from collections.abc import Callable

from packaging.version import Version

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.log_files import last_lines
from apps.dataplane.local.airflow.programs import (
    CORE,
    MIGRATE,
    Surroundings,
    migrate_program,
    program_name,
)
from apps.dataplane.local.airflow.steps import DONE, Outcome, reload_programs
from apps.dataplane.local.layout import Folder, State, Wanted, save_state, save_wanted
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.spec import DeploymentSpec

COMPONENT = "metadata database"
LOG_LINES = 30


class Migration:
    """The step of one Deployment. The program is removed when it has ended, so its presence says it
    runs.
    """

    def __init__(
        self, *, folder: Folder, state: State, spec: DeploymentSpec, supervisor: Supervisor
    ) -> None:
        self.folder = folder
        self.state = state
        self.spec = spec
        self.supervisor = supervisor
        self.name = program_name(spec.ref, MIGRATE)
        self.wanted = spec.runtime.airflow_version

    def step(self, surroundings: Callable[[], Surroundings]) -> Outcome:
        """Begin the migration, or return its progress. Raises Permanent."""
        present = self.state.database_airflow
        if self.wanted == present:
            return ("skipped", f"Already at Airflow {present}.")
        if present and Version(self.wanted) < Version(present):
            raise Permanent(
                f"The metadata database is at Airflow {present}, which cannot be undone. "
                f"Choose a runtime with Airflow {present} or newer, or create a new Deployment.",
                component=COMPONENT,
            )
        program = self.supervisor.states(self.name).get(self.name)
        if program is None:
            return self._begin(surroundings)
        if program.state == "STOPPED":
            self.supervisor.start(self.name)
        if program.state in {"STOPPED", "STOPPING"} or program.is_up:
            return ("running", f"Migrating to Airflow {self.wanted}.")
        return self._finish(program.exit_status)

    def _begin(self, surroundings: Callable[[], Surroundings]) -> Outcome:
        save_wanted(self.folder, Wanted())
        states = self.supervisor.states(f"{self.spec.ref}--")
        core = [program_name(self.spec.ref, component) for component in CORE]
        live = [name for name in core if name in states and states[name].pid]
        for name in live:
            self.supervisor.stop(name)
        if live:
            return ("running", "Waiting for the old Airflow to stop.")
        self.supervisor.write(migrate_program(spec=self.spec, around=surroundings()))
        reload_programs(self.supervisor)
        self.supervisor.start(self.name)
        return ("running", f"Migrating to Airflow {self.wanted}.")

    def _finish(self, exit_status: int) -> Outcome:
        self.supervisor.remove(self.name)
        reload_programs(self.supervisor)
        if exit_status != 0:
            raise Permanent(
                f"The metadata database could not be migrated to Airflow {self.wanted}.",
                component=COMPONENT,
                log=last_lines(self.folder, MIGRATE, LOG_LINES),
            )
        self.state.database_airflow = self.wanted
        save_state(self.folder, self.state)
        return DONE
