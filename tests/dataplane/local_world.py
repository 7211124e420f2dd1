"""A machine of its own for tests: real services, supervisord, keeper, and Airflow installed from a
cache that outlives the run.
"""

import fcntl
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from apps.dataplane.errors import Unreachable
from apps.dataplane.local import machine_programs, services
from apps.dataplane.local.home import Home
from apps.dataplane.local.leftovers import SUPERVISORD, find_leftovers, kill_programs
from apps.dataplane.local.machine import Machine
from apps.dataplane.local.plane import LocalPlane
from apps.dataplane.local.ports import choose_ports
from apps.dataplane.local.runtimes import ensure_runtime
from apps.dataplane.spec import DeploymentSpec, RuntimeSpec
from apps.dataplane.status import Progress
from tests.embedded import temporary_home

SCALE_DOWN_SECONDS = 4
PATIENCE_SECONDS = 90
Found = TypeVar("Found")


@dataclass
class LocalWorld:
    """The plane, and the Deployment that several tests share; `spec` is what was applied last."""

    home: Home
    plane: LocalPlane
    spec: DeploymentSpec | None = None

    def apply(self, **changes: Any) -> float:
        """Apply the shared spec with changes; return the seconds until it was done."""
        assert self.spec
        self.spec = replace(self.spec, revision=self.spec.revision + 1, **changes)
        began = time.monotonic()
        settle(lambda: self.plane.apply(spec=self.spec))
        return time.monotonic() - began

    def airflow(self, method: str, path: str, json: dict[str, Any] | None = None) -> Any:
        """Call Airflow with the patience that a busy machine needs; `json` must bear repeating."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self.plane.airflow(spec=self.spec, method=method, path=path, json=json)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
            else:
                assert response.status < 400, response
                return response.data

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run of a DAG as soon as Airflow knows the DAG; return the run's id."""
        path = f"/api/v2/dags/{dag_id}"
        body = {"logical_date": None, "conf": conf, "dag_run_id": secrets.token_hex(8)}

        def accepts(method: str, path: str, json: dict[str, Any]) -> bool:
            try:
                response = self.plane.airflow(spec=self.spec, method=method, path=path, json=json)
            except Unreachable:
                return False
            # 409: it took what it was too slow to answer.
            return response.status in (200, 409)

        eventually(lambda: accepts("PATCH", path, {"is_paused": False}), seconds=90)
        eventually(lambda: accepts("POST", f"{path}/dagRuns", body))
        return str(body["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        run: dict[str, Any] = self.airflow("GET", path)
        run["tasks"] = self.airflow("GET", f"{path}/taskInstances")["task_instances"]
        return run

    def finished_run(self, dag_id: str, run_id: str, seconds: float = 120) -> dict[str, Any]:
        def is_over() -> bool:
            return self.run(dag_id, run_id)["state"] in ("success", "failed")

        eventually(is_over, seconds=seconds)
        return self.run(dag_id, run_id)

    def pids(self) -> dict[str, int]:
        assert self.spec
        states = self.plane_supervisor().states(f"{self.spec.ref}--")
        return {name: state.pid for name, state in states.items() if state.pid}

    def plane_supervisor(self) -> Any:
        return Machine(self.home).supervisor

    def create(self, spec: DeploymentSpec) -> None:
        """Make `spec` the shared Deployment, and wait until it is healthy."""
        self.spec = spec
        settle(lambda: self.plane.apply(spec=spec))

    def delete(self) -> None:
        assert self.spec
        settle(lambda: self.plane.delete(ref=self.spec.ref))


@contextmanager
def local_world(*runtimes: RuntimeSpec) -> Iterator[LocalWorld]:
    """Run a machine with these runtimes, and leave no process and no file of it."""
    with temporary_home() as home:
        cache = _cache() / "runtimes"
        cache.mkdir(parents=True, exist_ok=True)
        home.runtimes.symlink_to(cache)
        services.prepare_home(home)
        choose_ports(home)
        services.init_postgres(home)
        machine = Machine(home)
        environment = {
            **machine_programs.base_environment(),
            "PORTAL_SCALE_DOWN_SECONDS": str(SCALE_DOWN_SECONDS),
        }
        for program in (
            machine_programs.postgres_program(home),
            machine_programs.valkey_program(home),
            machine_programs.keeper_program(home, environment),
        ):
            machine.supervisor.write(program)
        machine.want("deployments")
        machine.ensure_running()
        plane = LocalPlane(home)
        try:
            eventually(lambda: plane.check().is_usable, seconds=20)
            for runtime in runtimes:
                _install(plane, runtime)
            yield LocalWorld(home, plane)
        finally:
            machine.want("nothing")
            _end(home)


def _end(home: Home) -> None:
    """End the machine without its usual patience; only PostgreSQL has something to put away."""
    programs = {found.program for found in find_leftovers(home)}
    kill_programs(home, {SUPERVISORD})
    kill_programs(home, programs - {"postgres"})
    postgres = [found.process for found in find_leftovers(home)]
    for process in postgres:
        process.send_signal(signal.SIGINT)
    psutil.wait_procs(postgres, timeout=20)


def _install(plane: LocalPlane, runtime: RuntimeSpec) -> None:
    """Install a runtime into the cache, or find it there; one run at a time may do so."""
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        eventually(
            lambda: not ensure_runtime(home=plane.home, config=plane.config, runtime=runtime),
            seconds=400,
        )


def settle(step: Callable[[], Progress], *, seconds: float = 240) -> Progress:
    """Repeat passes until one says that it is done."""
    deadline = time.monotonic() + seconds
    while not (progress := step()).is_done:
        assert time.monotonic() < deadline, progress
        time.sleep(progress.retry_after_seconds)
    return progress


def eventually(look: Callable[[], Found], *, seconds: float = 30, every: float = 0.5) -> Found:
    """Return the first true answer of `look`; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(every)
    return found


def _cache() -> Path:
    return Path(
        os.environ.get("ASTRO_PORTAL_TEST_CACHE") or Path.home() / ".cache" / "astro-portal-tests"
    )
