"""A machine of its own for tests: real services, supervisord, keeper, and Airflow installed from a
cache that outlives the run.
"""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from apps.dataplane.local.airflow.runtimes import RuntimeFolder, ensure_runtime, lock_file
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine import programs as machine_programs
from apps.dataplane.local.machine.cleanup import SUPERVISORD, find_leftovers, kill_programs
from apps.dataplane.local.machine.machine import Machine
from apps.dataplane.local.machine.ports import choose_ports
from apps.dataplane.local.plane import LocalPlane
from apps.dataplane.spec import RuntimeSpec
from tests.dataplane import kept_templates
from tests.dataplane.world import World, eventually
from tests.embedded import temporary_home

SCALE_DOWN_SECONDS = 4


@dataclass(kw_only=True)
class LocalWorld(World):
    """The Deployment of a machine of its own."""

    home: Home
    plane: LocalPlane

    def pids(self) -> dict[str, int]:
        assert self.spec
        states = self.plane_supervisor().states(f"{self.spec.ref}--")
        return {name: state.pid for name, state in states.items() if state.pid}

    def plane_supervisor(self) -> Any:
        return Machine(self.home).supervisor


@contextmanager
def local_world(*runtimes: RuntimeSpec) -> Iterator[LocalWorld]:
    """Run a machine with these runtimes, and leave no process and no file of it."""
    with temporary_home() as home:
        cache = _cache() / "runtimes"
        cache.mkdir(parents=True, exist_ok=True)
        home.runtimes.symlink_to(cache)
        embedded_databases.prepare_home(home)
        choose_ports(home)
        embedded_databases.init_postgres(home)
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
            yield LocalWorld(home=home, plane=plane)
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
    folder = RuntimeFolder(plane.home, runtime.version, lock_file(plane.config, runtime))
    templates = _cache() / "templates"
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept_templates.load(plane, folder, templates)
        eventually(
            lambda: not ensure_runtime(home=plane.home, config=plane.config, runtime=runtime),
            seconds=400,
        )
        kept_templates.keep(plane, folder, templates)


def installed_python(version: str) -> Path | None:
    """Return the Python of a runtime that earlier tests installed, None if none did."""
    folder = _cache() / "runtimes" / version
    done = sorted(folder.glob("env-*/bin/python"), key=lambda path: path.lstat().st_mtime)
    return done[-1] if done else None


def _cache() -> Path:
    return Path(
        os.environ.get("ASTRO_PORTAL_TEST_CACHE") or Path.home() / ".cache" / "astro-portal-tests"
    )
