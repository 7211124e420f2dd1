"""One pass towards nothing being left of a Deployment. Safe to repeat, safe to interrupt.

Workers are stopped first and may finish their tasks, for which they need the api-server; then
Airflow itself; then the database, the broker's content and the folder are removed.
"""

import time

import redis

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow import code
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.programs import (
    API_SERVER,
    component_of,
    program_name,
    worker_name,
)
from apps.dataplane.local.airflow.steps import reload_programs
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.edge import routes
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    State,
    Wanted,
    read_state,
    save_state,
    save_wanted,
)
from apps.dataplane.local.machine import cleanup
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.status import Progress, Step, StepState

WORKER_SECONDS = 60
TITLES = (
    ("workers", "Wait for workers to finish"),
    ("core", "Stop Airflow"),
    ("database", "Drop the metadata database"),
    ("files", "Remove the files"),
)


class DeletePass:
    """One pass for one Deployment. The caller holds its lock."""

    def __init__(self, *, home: Home, config: LocalConfig, ref: str) -> None:
        self.home = home
        self.config = config
        self.ref = ref
        self.folder = Folder(home, ref)
        self.supervisor = Supervisor(home)

    def run(self) -> Progress:
        """Do what can be done now."""
        state = self._state()
        routes.remove_route(self.home, self.ref)
        self._remove_programs(all_but=API_SERVER)
        busy_count = sum(self._may_run_tasks(name) for name in self._programs())
        if busy_count and not self._is_patience_over(state):
            return _progress(0, f"{busy_count} processes are finishing their tasks.")
        if busy_count:
            cleanup.kill_programs(self.home, self._programs())
            return _progress(0, "Tasks that did not finish in time are being stopped.")
        self._remove_programs(all_but="")
        if self._programs():
            return _progress(1, "The processes are being stopped.")
        self._kill_orphans()
        database.drop_database(self.config, self.folder)
        if state is not None:
            _empty_broker(self.config.broker(state.broker_number))
        code.remove_tree(self.folder.path)
        (self.home.run / f"deployment-{self.ref}.lock").unlink(missing_ok=True)
        return _progress(len(TITLES), "")

    def _state(self) -> State | None:
        try:
            state = read_state(self.folder)
        except Permanent:
            return None  # damaged: what is known by name is removed nevertheless
        if state is None:
            return None
        if not state.delete_began_at:
            state.delete_began_at = time.time()
            save_state(self.folder, state)
            save_wanted(self.folder, Wanted())
        return state

    def _is_patience_over(self, state: State | None) -> bool:
        return state is None or time.time() - state.delete_began_at > WORKER_SECONDS

    def _remove_programs(self, *, all_but: str) -> None:
        kept = {program_name(self.ref, all_but)} if all_but else set()
        for name in self.supervisor.written(f"{self.ref}--") - kept:
            if component_of(self.ref, name):
                self.supervisor.remove(name)
        reload_programs(self.supervisor)

    def _may_run_tasks(self, program: str) -> bool:
        """Return whether tasks may be its children. Any scheduler's: which executor it was started
        with is not known before the first apply is done, or while another one is being applied.
        """
        component = component_of(self.ref, program)
        return component == "scheduler" or worker_name(component) is not None

    def _kill_orphans(self) -> None:
        """End workers that a killed supervisord left behind, and that still finish tasks."""
        found = {leftover.program for leftover in cleanup.find_leftovers(self.home)}
        orphans = [name for name in found if component_of(self.ref, name)]
        if orphans:
            cleanup.kill_programs(self.home, orphans)

    def _programs(self) -> list[str]:
        names = self.supervisor.states(f"{self.ref}--")
        return [name for name in names if component_of(self.ref, name)]


def _progress(done_count: int, detail: str) -> Progress:
    steps = []
    for index, (key, title) in enumerate(TITLES):
        state: StepState = (
            "done" if index < done_count else "running" if index == done_count else "waiting"
        )
        steps.append(
            Step(key=key, title=title, state=state, detail=detail if state == "running" else "")
        )
    return Progress(steps=tuple(steps), is_done=done_count == len(TITLES), retry_after_seconds=1.0)


def _empty_broker(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            client.flushdb()
    except redis.RedisError as error:
        raise Temporary("The broker of this machine does not answer.") from error
