"""Runtimes on this machine: where they are, whether they are complete, and how one is installed."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.config import SETTINGS, LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.programs import base_environment
from apps.dataplane.local.machine.supervisor import Program, Supervisor
from apps.dataplane.local.private_files import write_private
from apps.dataplane.spec import RuntimeSpec

PROJECT = Path(__file__).resolve().parents[4]
COMPLETE = "packages.json"
MIN_FREE_BYTES = 1024**3
# Variables that tell uv where packages are and where to cache them.
UV_PREFIXES = ("UV_", "XDG_")


@dataclass(frozen=True)
class RuntimeFolder:
    """`runtimes/<version>`: how far its installation came, and an environment for each lock.

    What is installed is named by lock and Python, so that another one never replaces the packages
    of a running Airflow: it switches when it is applied the next time.
    """

    home: Home
    version: str
    lock: Path

    @property
    def path(self) -> Path:
        return self.home.runtimes / self.version

    @property
    def environment(self) -> Path:
        return self.path / f"env-{hashlib.sha256(self._mark.encode()).hexdigest()[:12]}"

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def program(self) -> str:
        return f"runtime-{self.version}"

    @property
    def has_packages(self) -> bool:
        """Whether exactly the packages of the lock are installed, for the Python the portal runs
        on.
        """
        return (self.environment / COMPLETE).exists()

    def mark_packages(self) -> None:
        """Mark the environment as complete. Written last."""
        write_private(self.environment / COMPLETE, self._mark)

    def remove_unused(self) -> None:
        """Remove environments of other locks that no program of this machine starts from."""
        programs = [path.read_text() for path in self.home.programs.glob("*.conf")]
        for environment in self.path.glob("env-*"):
            is_used = any(f"{environment}/" in program for program in programs)
            if environment != self.environment and not is_used:
                shutil.rmtree(environment, ignore_errors=True)

    @property
    def _mark(self) -> str:
        digest = hashlib.sha256(self.lock.read_bytes()).hexdigest()
        return json.dumps(
            {"lock": digest, "python": list(sys.version_info[:3]), "base": sys.base_prefix}
        )

    def read_progress(self) -> dict[str, Any]:
        """Return the installer's last report, empty if there is none."""
        try:
            progress: dict[str, Any] = json.loads(self.progress.read_text())
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return progress


def ensure_runtime(*, home: Home, config: LocalConfig, runtime: RuntimeSpec) -> str:
    """Install the runtime if it is not complete; return "" when it is, else a message about its
    progress.

    Raises Permanent with the last lines when the installation failed; the next call begins it
    again.
    """
    folder = RuntimeFolder(home, runtime.version, lock_file(config, runtime))
    if folder.has_packages and database.has_database(
        config, database.template_name(runtime.version)
    ):
        return ""
    supervisor = Supervisor(home)
    state = supervisor.states(folder.program).get(folder.program)
    if state and state.is_up:
        return _message(folder.read_progress())
    progress = folder.read_progress()
    if progress.get("phase") == "failed":
        folder.progress.unlink(missing_ok=True)
        raise Permanent(
            f"Runtime {runtime.version} could not be installed. {progress['message']}",
            component=folder.program,
            log=tuple(progress["lines"]),
        )
    _check_disk(home)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    start_installer(
        supervisor,
        folder,
        name=folder.program,
        module="apps.dataplane.local.airflow.installer",
        arguments=[folder.version, str(folder.lock)],
    )
    return "Preparing to download the packages."


def lock_file(config: LocalConfig, runtime: RuntimeSpec) -> Path:
    """Return the lock file's path; a relative one is below the project's `runtime` folder."""
    lock = config.runtime_folder / runtime.lock_path
    if not lock.is_file():
        raise Permanent(
            f"Runtime {runtime.version} has no lock file, so it cannot run on this data plane."
        )
    return lock


def uv_environment(config: LocalConfig | None = None) -> dict[str, str]:
    """Return the part of our environment for downloads of packages: without our own secrets."""
    uv = {name: value for name, value in os.environ.items() if name.startswith(UV_PREFIXES)}
    index = {"UV_DEFAULT_INDEX": config.package_index} if config and config.package_index else {}
    return base_environment() | uv | index


def installer_environment(home: Home) -> dict[str, str]:
    """Return the installer's environment: that of uv, and how the databases are reached."""
    settings = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    places = {"PORTAL_HOME": str(home.path), "PYTHONPATH": str(PROJECT)}
    return uv_environment() | settings | places


def start_installer(
    supervisor: Supervisor,
    folder: RuntimeFolder,
    *,
    name: str,
    module: str,
    arguments: Sequence[str],
) -> None:
    """Let the supervisor run one of our modules once, with what an installation needs."""
    program = Program(
        name=name,
        command=[sys.executable, "-m", module, *arguments],
        environment=installer_environment(folder.home),
        directory=folder.path,
        log_file=folder.home.logs / f"{name}.log",
        is_restarted=False,
        start_seconds=0,
        start_retries=0,
    )
    supervisor.write(program)
    supervisor.reload()
    supervisor.start(program.name)


def _message(progress: dict[str, Any]) -> str:
    if progress.get("phase") == "database":
        return "Preparing the metadata database."
    if installed := progress.get("installed_count", 0):
        return f"{installed} of about {progress.get('package_count', 0)} packages are installed."
    return "Downloading the packages."


def _check_disk(home: Home) -> None:
    free = shutil.disk_usage(home.path).free
    if free < MIN_FREE_BYTES:
        raise Permanent(
            f"The disk of {home.path} has {free // 1024**2} MB left; a runtime needs 1 GB."
        )
