"""One pass of applying a spec: steps in order, each safe to repeat, none that waits.

A pass goes through the steps from the first one every time and stops at the first that is not done.
What a step did is found by observation (files, supervisord, databases), so a pass that is killed at
any point is simply repeated. Only what cannot be observed is in `state.json`.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.hibernation.plans import MOST_TASK_MINUTES
from apps.dataplane.hibernation.turns import is_hibernating
from apps.dataplane.local.airflow import code, hibernating
from apps.dataplane.local.airflow.configuration import Configuration
from apps.dataplane.local.airflow.logs import log_files
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.migration import Migration
from apps.dataplane.local.airflow.programs import API_SERVER, CORE, TASK_SECONDS, program_name
from apps.dataplane.local.airflow.runtimes import ensure_runtime
from apps.dataplane.local.airflow.steps import DONE, WAITING, Outcome, running_tasks
from apps.dataplane.local.backups.restoring import Restoration
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control.capacity import check_room
from apps.dataplane.local.control.observe import Observer
from apps.dataplane.local.control.readiness import Readiness
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    State,
    first_state,
    plane_lock,
    read_state,
    read_wanted,
    save_state,
)
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.local.projects.environments import ensure_packages, environment_of
from apps.dataplane.local.projects.plugins import place_plugins, prune_plugins
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress, Step
from apps.dataplane.variables import user_variables

# Steps that wait for LocalExecutor's tasks, which supervisord ends when their time is over.
ALLOWED_SECONDS = TASK_SECONDS + 60
WAITS_FOR_TASKS = {
    **dict.fromkeys(("restore", "stop", "config"), ALLOWED_SECONDS),
    "hibernate": MOST_TASK_MINUTES * 60 + 60,
}
VERSIONS_IN_USE = """
    SELECT DISTINCT bundle_version FROM dag_run
    WHERE state IN ('queued', 'running') AND bundle_version IS NOT NULL
"""

VERSIONS_OF_RUNS = "SELECT DISTINCT bundle_version FROM dag_run WHERE bundle_version IS NOT NULL"


class ApplyPass:
    """One pass for one spec. The caller holds the Deployment's lock."""

    def __init__(self, *, home: Home, config: LocalConfig, spec: DeploymentSpec) -> None:
        self.home = home
        self.config = config
        self.spec = spec
        self.folder = Folder(home, spec.ref)
        self.supervisor = Supervisor(home)
        self._state = read_state(self.folder)

    @property
    def state_runtime(self) -> str:
        """The runtime that was applied last, empty before the first."""
        return self._state.runtime if self._state else ""

    @property
    def state(self) -> State:
        if self._state is None:
            raise Permanent("The Deployment has no folder on this machine yet.")
        return self._state

    def run(self) -> Progress:
        """Do the steps until one is not done. Raises Permanent with a message, and a component if
        one fails.
        """
        check_spec(self.spec)
        if self._state is None:
            check_room(self.home, self.spec)
        steps: list[Step] = []
        is_waiting = False
        for key, title, work in self._plan():
            state, detail = WAITING if is_waiting else work()
            allowed = WAITS_FOR_TASKS.get(key, 0)
            steps.append(
                Step(key=key, title=title, state=state, detail=detail, allowed_seconds=allowed)
            )
            is_waiting = is_waiting or state == "running"
        return Progress(steps=tuple(steps), is_done=not is_waiting, retry_after_seconds=1.0)

    def _plan(self) -> tuple[tuple[str, str, Callable[[], Outcome]], ...]:
        return (
            ("runtime", f"Install runtime {self.spec.runtime.version}", self._install_runtime),
            ("packages", "Install the packages of the project", self._install_packages),
            ("database", "Create the metadata database", self._create_database),
            *self._restoring(),
            ("stop", "Stop the old Airflow", self._stop_for_migration),
            ("migrate", "Migrate the metadata database", self._migrate_database),
            ("code", "Deploy the code", self._deliver_code),
            ("config", "Write the configuration", self._write_configuration),
            *self._starting(),
        )

    def _starting(self) -> tuple[tuple[str, str, Callable[[], Outcome]], ...]:
        if is_hibernating(self.spec.hibernation, datetime.now(UTC)):
            return (("hibernate", "Stop Airflow when its tasks have ended", self._hibernate),)
        return (
            ("api-server", "Start the api-server", self._start_api_server),
            ("core", "Start scheduler, dag-processor and triggerer", self._start_core),
            ("workers", "Start the workers", self._start_workers),
            ("healthy", "Wait until Airflow is healthy", self._wait_until_healthy),
        )

    def _restoring(self) -> tuple[tuple[str, str, Callable[[], Outcome]], ...]:
        if self.spec.restore is None:
            return ()
        return (("restore", "Restore the metadata database", self._restore_database),)

    def _install_runtime(self) -> Outcome:
        message = ensure_runtime(home=self.home, config=self.config, runtime=self.spec.runtime)
        if message:
            return ("running", message)
        return ("skipped", "") if self.state_runtime == self.spec.runtime.version else DONE

    def _install_packages(self) -> Outcome:
        if self.spec.packages is None:
            return ("skipped", "The runtime has all packages.")
        message = ensure_packages(
            home=self.home,
            config=self.config,
            runtime=self.spec.runtime,
            packages=self.spec.packages,
            indexes=self.spec.package_indexes,
        )
        if message:
            return ("running", message)
        digest = self.spec.packages.digest
        return ("skipped", "") if self._state and self._state.packages == digest else DONE

    def _create_database(self) -> Outcome:
        if self._state is None:
            with plane_lock(self.home):
                self._state = first_state(
                    self.folder,
                    password=secrets.token_urlsafe(24),
                    portal_number=self.config.portal_number,
                )
        for path in (self.folder.airflow_home, self.folder.task_logs, self.folder.process_logs):
            path.mkdir(mode=0o700, exist_ok=True)
        if self.state.database_airflow:
            return ("skipped", "")
        template = database.template_name(self.spec.runtime.version)
        is_copy = database.create_database(self.config, self.folder, self.state, template=template)
        if is_copy:
            self.state.database_airflow = self.spec.runtime.airflow_version
            save_state(self.folder, self.state)
        return DONE

    def _restore_database(self) -> Outcome:
        restoration = Restoration(
            folder=self.folder, state=self.state, spec=self.spec, supervisor=self.supervisor
        )
        return restoration.step(
            self.config, lambda: running_tasks(self.config, self.folder, self.state)
        )

    def _stop_for_migration(self) -> Outcome:
        return self._migration().stop(lambda: running_tasks(self.config, self.folder, self.state))

    def _migrate_database(self) -> Outcome:
        return self._migration().step(self._configuration().surroundings)

    def _migration(self) -> Migration:
        return Migration(
            folder=self.folder, state=self.state, spec=self.spec, supervisor=self.supervisor
        )

    def _deliver_code(self) -> Outcome:
        wanted = self.spec.code.digest if self.spec.code else ""
        is_same = self.state.applied_revision and code.current_digest(self.folder) == wanted
        code.deliver(self.folder, self.spec.code)
        self.state.code_digest = wanted
        return (
            "skipped" if is_same else "done",
            "" if self.spec.code else "No code deployed yet: the example DAGs are used.",
        )

    def _write_configuration(self) -> Outcome:
        return self._configuration().write()

    def _configuration(self) -> Configuration:
        environment = environment_of(
            home=self.home,
            config=self.config,
            runtime=self.spec.runtime,
            packages=self.spec.packages,
        )
        return Configuration(
            home=self.home,
            config=self.config,
            spec=self.spec,
            state=self.state,
            supervisor=self.supervisor,
            env_folder=environment.path,
            extension=place_plugins(self.folder, self.spec.code),
        )

    def _hibernate(self) -> Outcome:
        outcome = hibernating.stop(
            self.folder,
            self.spec.hibernation,
            supervisor=self.supervisor,
            now=datetime.now(UTC),
            running_tasks=lambda: running_tasks(self.config, self.folder, self.state),
        )
        if outcome == DONE:
            self._finish()
        return outcome

    def _start_api_server(self) -> Outcome:
        return self._start([program_name(self.spec.ref, API_SERVER)])

    def _start_core(self) -> Outcome:
        others = [component for component in CORE if component != API_SERVER]
        return self._start([program_name(self.spec.ref, component) for component in others])

    def _start_workers(self) -> Outcome:
        if not self.spec.queues:
            return ("skipped", "The scheduler runs the tasks itself.")
        queues = read_wanted(self.folder).queues
        return self._start(
            [name for queue in queues for name in queue.programs[: queue.min_workers]]
        )

    def _start(self, names: list[str]) -> Outcome:
        states = self.supervisor.states(f"{self.spec.ref}--")
        for name in names:
            if name in states and states[name].state in {"STOPPED", "EXITED"}:
                self.supervisor.start(name)
        return DONE

    def _wait_until_healthy(self) -> Outcome:
        observer = Observer(home=self.home, config=self.config, folder=self.folder)
        readiness = Readiness(
            folder=self.folder,
            state=self.state,
            revision=self.spec.revision,
            programs=self.supervisor.states(f"{self.spec.ref}--"),
        )
        outcome = readiness.step(
            observer.observe(), timeout_seconds=self.config.start_timeout_seconds
        )
        if outcome == DONE:
            self._finish()
        return outcome

    def _finish(self) -> None:
        self.state.applied_revision = self.spec.revision
        self.state.runtime = self.spec.runtime.version
        self.state.packages = self.spec.packages.digest if self.spec.packages else ""
        self.state.executor = self.spec.executor
        self.state.revision = self.spec.revision
        self.state.wait_began_at = 0.0
        save_state(self.folder, self.state)
        code.prune(self.folder, in_use=self._versions_in_use(), of_runs=self._versions_of_runs())
        prune_plugins(self.folder, programs=self._program_files())
        log_files.prune(self.folder, kept={*self.supervisor.states(f"{self.spec.ref}--")})

    def _program_files(self) -> list[str]:
        """Return what programs start from, those of workers included that finish their tasks."""
        written = [path.read_text() for path in self.home.programs.glob(f"{self.spec.ref}--*")]
        alive = self.supervisor.states(f"{self.spec.ref}--").keys() - self.supervisor.written()
        # A worker without a file still runs with plugins that no file names: keep all meanwhile.
        return ["", *map(str, (self.folder.path / "plugins").glob("*"))] if alive else written

    def _versions_in_use(self) -> set[str]:
        """Return the versions of code that unfinished DAG runs began with."""
        with database.deployment_connection(self.config, self.folder, self.state) as connection:
            rows = connection.execute(VERSIONS_IN_USE).fetchall()
        return {str(version) for (version,) in rows}

    def _versions_of_runs(self) -> set[str] | None:
        """Return the versions of all DAG runs, which people may start again; None while the
        database is too busy to say.
        """
        try:
            with database.deployment_connection(self.config, self.folder, self.state) as connection:
                rows = connection.execute(VERSIONS_OF_RUNS).fetchall()
        except Temporary:
            return None
        return {str(version) for (version,) in rows}


def check_spec(spec: DeploymentSpec) -> None:
    """Raise Permanent for what this data plane cannot do."""
    if spec.executor not in ("celery", "local"):
        raise Permanent(
            f"The {spec.executor} executor needs a Kubernetes cluster. Choose Celery or Local."
        )
    if spec.executor == "celery" and not any(queue.name == "default" for queue in spec.queues):
        raise Permanent("The Celery executor needs a worker queue called default.")
    if "--" in spec.ref:
        raise Permanent(
            "The name of a Deployment on this data plane cannot contain two hyphens in a row."
        )
    user_variables(spec.variables)
