"""Migrate a metadata database to the Airflow of the spec: a supervised program that runs once.

Programs that use the database are stopped before, the api-server last: LocalExecutor's tasks are
children of the scheduler, which waits for them, and they report to the api-server until they end.
The steps that follow start them again. Workers keep running: they never access the database.
"""

from collections.abc import Callable

from packaging.version import Version

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.logs.log_files import last_lines
from apps.dataplane.local.airflow.programs import (
    API_SERVER,
    CORE,
    MIGRATE,
    Surroundings,
    component_of,
    migrate_program,
    program_name,
)
from apps.dataplane.local.airflow.steps import DONE, Outcome, reload_programs, waiting_for
from apps.dataplane.local.layout import Folder, State, Wanted, save_state, save_wanted
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.spec import DeploymentSpec

COMPONENT = "metadata database"
LOG_LINES = 30
KILLED = (
    " Its process was killed, as happens when the machine has no memory left. Free some, then try "
    "again."
)


def stop_core(supervisor: Supervisor, folder: Folder, running_tasks: Callable[[], str]) -> Outcome:
    """Stop whatever uses the metadata database, the api-server last, or say what is waited for."""
    ref, states = folder.ref, supervisor.states(f"{folder.ref}--")
    api_server, *others = [program_name(ref, component) for component in CORE]
    live = [name for name in others if name in states and states[name].pid]
    save_wanted(folder, Wanted(core=[api_server] if live else []))
    for name in live:
        supervisor.stop(name)
    if live:
        return waiting_for([component_of(ref, name) for name in live], running_tasks())
    if api_server in states and states[api_server].pid:
        supervisor.stop(api_server)
        return waiting_for([API_SERVER], "")
    return DONE


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

    def stop(self, running_tasks: Callable[[], str]) -> Outcome:
        """Stop what uses the database, if it has to be migrated. Raises Permanent."""
        if self._is_done:
            return ("skipped", "")
        self._refuse_downgrade()
        if self.name in self.supervisor.states(f"{self.spec.ref}--"):
            return DONE
        return stop_core(self.supervisor, self.folder, running_tasks)

    def step(self, surroundings: Callable[[], Surroundings]) -> Outcome:
        """Begin the migration, or return its progress. Raises Permanent."""
        if self._is_done:
            return ("skipped", f"Already at Airflow {self.wanted}.")
        program = self.supervisor.states(self.name).get(self.name)
        if program is None:
            return self._begin(surroundings)
        if program.state == "STOPPED":
            self.supervisor.start(self.name)
        if program.state in {"STOPPED", "STOPPING"} or program.is_up:
            return ("running", f"Migrating to Airflow {self.state.migrating_to}.")
        return self._finish(program.exit_status)

    @property
    def _is_done(self) -> bool:
        return self.wanted == self.state.database_airflow and not self.state.migrating_to

    def _refuse_downgrade(self) -> None:
        present = self.state.migrating_to or self.state.database_airflow
        if present and Version(self.wanted) < Version(present):
            raise Permanent(
                f"The metadata database is at Airflow {present}, which cannot be undone. "
                f"Choose a runtime with Airflow {present} or newer, or create a new Deployment.",
                component=COMPONENT,
            )

    def _begin(self, surroundings: Callable[[], Surroundings]) -> Outcome:
        self.state.migrating_to = self.wanted
        save_state(self.folder, self.state)
        # What an earlier migration wrote is no reason of this one, which may end without a word.
        (self.folder.process_logs / f"{MIGRATE}.log").unlink(missing_ok=True)
        self.supervisor.write(migrate_program(spec=self.spec, around=surroundings()))
        reload_programs(self.supervisor)
        self.supervisor.start(self.name)
        return ("running", f"Migrating to Airflow {self.wanted}.")

    def _finish(self, exit_status: int) -> Outcome:
        # A newer revision may want another version than the one that was migrated to.
        reached = self.state.migrating_to or self.wanted
        self.supervisor.remove(self.name)
        reload_programs(self.supervisor)
        if exit_status != 0:
            # supervisord says so of what a signal ended.
            killed = KILLED if exit_status < 0 else ""
            raise Permanent(
                f"The metadata database could not be migrated to Airflow {reached}.{killed}",
                component=COMPONENT,
                log=last_lines(self.folder, MIGRATE, LOG_LINES),
            )
        self.state.database_airflow = reached
        self.state.migrating_to = ""
        save_state(self.folder, self.state)
        return DONE if self._is_done else ("running", f"Migrating to Airflow {self.wanted}.")
