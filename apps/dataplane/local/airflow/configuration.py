"""The files of a spec on this machine: a program per component, the keeper's targets, and the route
of the edge. Writing is idempotent.
"""

from pathlib import Path

from apps.dataplane.local.airflow.environment import Place, core_environment, worker_environment
from apps.dataplane.local.airflow.programs import (
    API_SERVER,
    Surroundings,
    component_of,
    core_programs,
    program_name,
    worker_programs,
)
from apps.dataplane.local.airflow.steps import (
    DONE,
    Outcome,
    reload_programs,
    running_tasks,
    waiting_for,
)
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.edge import routes
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    State,
    Wanted,
    WantedQueue,
    plane_lock,
    save_plan,
    save_state,
    save_wanted,
    unused_port,
)
from apps.dataplane.local.machine.ports import is_free
from apps.dataplane.local.machine.supervisor import Program, Supervisor
from apps.dataplane.local.private_files import write_private
from apps.dataplane.site.trust import trusted
from apps.dataplane.spec import DeploymentSpec, WorkerQueue


class Configuration:
    """The files of one Deployment. The caller holds its lock; `state` may get another port."""

    def __init__(
        self,
        *,
        home: Home,
        config: LocalConfig,
        spec: DeploymentSpec,
        state: State,
        supervisor: Supervisor,
        env_folder: Path,
        extension: Path | None = None,
    ) -> None:
        self.home = home
        self.config = config
        self.spec = spec
        self.state = state
        self.supervisor = supervisor
        self.env_folder = env_folder
        self.extension = extension
        self.folder = Folder(home, spec.ref)

    def write(self) -> Outcome:
        """Write all, reload supervisord, and wait for core components that stop to be replaced.

        The api-server is replaced after the others: LocalExecutor's tasks report to it until their
        scheduler has stopped. One that does not run is replaced at once, for no task can report
        to it.
        """
        self._keep_or_change_port()
        around = self.surroundings()
        core = core_programs(spec=self.spec, around=around)
        queues = [
            (queue, worker_programs(spec=self.spec, queue=queue, around=around))
            for queue in self.spec.queues
        ]
        programs = [*core, *(program for _, slots in queues for program in slots)]
        save_wanted(
            self.folder,
            Wanted(
                core=[program.name for program in core],
                queues=[_wanted_queue(queue, slots) for queue, slots in queues],
                python=str(around.python),
            ),
        )
        save_plan(self.folder, self.spec.hibernation)
        routes.add_route(self.home, self.spec.ref, self.state.api_port)
        if self._serves_tasks(core[0]):
            self._write_programs(programs, all_but=core[0])
            outcome = self._replace_changed(core)
            if outcome != DONE:
                return outcome
        self._write_programs(programs)
        return self._replace_changed(core)

    def surroundings(self) -> Surroundings:
        """Return what the programs need besides the spec, with the files that they will read."""
        self._prepare_home()
        place = Place(
            folder=self.folder,
            state=self.state,
            config=self.config,
            env_folder=self.env_folder,
            extension=self.extension,
        )
        return Surroundings(
            folder=self.folder,
            python=self.env_folder / "bin" / "python",
            core=core_environment(spec=self.spec, place=place),
            worker=worker_environment(spec=self.spec, place=place),
        )

    def _prepare_home(self) -> None:
        write_private(self.folder.public_key, self.spec.sign_in.public_key_pem)
        write_private(self.folder.environment, self.spec.environment or "{}")
        if bundle := trusted(self.spec.settings):
            write_private(self.folder.ca_bundle, bundle)
        # An empty one: several processes would otherwise write Airflow's defaults there at the same
        # time.
        configuration = self.folder.airflow_home / "airflow.cfg"
        if not configuration.exists():
            write_private(configuration, "")

    def _keep_or_change_port(self) -> None:
        """Take another port if the api-server is down and another program has its port by now."""
        name = program_name(self.spec.ref, API_SERVER)
        program = self.supervisor.states(name).get(name)
        if (program and program.pid) or is_free(self.state.api_port):
            return
        with plane_lock(self.home):
            self.state.api_port = unused_port(self.home)
            save_state(self.folder, self.state)

    def _serves_tasks(self, api_server: Program) -> bool:
        state = self.supervisor.states(api_server.name).get(api_server.name)
        return state is not None and state.state == "RUNNING"

    def _write_programs(self, programs: list[Program], *, all_but: Program | None = None) -> None:
        """Write the programs, and remove the files of those that this Deployment no longer has."""
        for program in programs:
            if program != all_but:
                self.supervisor.write(program)
        wanted = {program.name for program in programs}
        for name in self.supervisor.written(f"{self.spec.ref}--") - wanted:
            if component_of(self.spec.ref, name):
                self.supervisor.remove(name)

    def _replace_changed(self, core: list[Program]) -> Outcome:
        reload_programs(self.supervisor)
        states = self.supervisor.states(f"{self.spec.ref}--")
        stopping = [
            component_of(self.spec.ref, program.name)
            for program in core
            if program.name in states and states[program.name].state == "STOPPING"
        ]
        if stopping:
            return waiting_for(stopping, running_tasks(self.config, self.folder, self.state))
        return DONE


def _wanted_queue(queue: WorkerQueue, slots: list[Program]) -> WantedQueue:
    return WantedQueue(
        name=queue.name,
        concurrency=queue.concurrency,
        min_workers=queue.min_workers,
        max_workers=queue.max_workers,
        programs=[program.name for program in slots],
    )
