"""Python environments with the packages of a project: one for each pair of runtime and lock.

It is a copy of the runtime's environment, made of hard links, and the project's packages in it. It
is made under another name and renamed when it is complete, so a half one is never used, and two
that are made at once do no harm. Deployments with the same lock share it.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uv

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow.runtimes import (
    MIN_FREE_BYTES,
    RuntimeFolder,
    lock_file,
    start_installer,
)
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.local.private_files import write_private
from apps.dataplane.local.projects.sources import Sources, package_sources
from apps.dataplane.project import Package
from apps.dataplane.project_checks.causes import known_cause
from apps.dataplane.project_checks.processes import Limits, run
from apps.dataplane.spec import PackageIndex, PackagesSpec, RuntimeSpec

LIMITS = Limits(wall_seconds=540, cpu_seconds=300)
COMPLETE = "project.json"
UNFINISHED = ".making-"
UNUSED_SECONDS = 7 * 86_400
# The first line of a script that pip or uv installed, or the three that hold a long path.
SHEBANG = re.compile(rb"#!(?:/bin/sh\n\'\'\'exec\' [^\n]*\n\' \'\'\'|[^\n]*/bin/python[\d.]*)\n")
BESIDE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/python "$0" "$@"
' '''
"""


@dataclass(frozen=True)
class Environment:
    """The environment of one lock; without packages it is that of the runtime."""

    runtime: RuntimeFolder
    digest: str = ""

    @property
    def path(self) -> Path:
        if not self.digest:
            return self.runtime.environment
        key = hashlib.sha256(f"{self.runtime.environment.name}\0{self.digest}".encode())
        return self.runtime.path / f"project-{key.hexdigest()[:16]}"

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def program(self) -> str:
        return f"packages-{self.path.name}"

    @property
    def progress(self) -> Path:
        return self.runtime.path / f"{self.path.name}.failed"

    @property
    def handover(self) -> Path:
        return self.runtime.path / f"{self.path.name}.indexes"

    @property
    def is_complete(self) -> bool:
        return not self.digest or (self.path / COMPLETE).exists()

    def note_use(self) -> None:
        """Remember that it is used, or `remove_unused` would remove it."""
        if self.digest:
            os.utime(self.path / COMPLETE)

    def packages(self) -> tuple[Package, ...]:
        """Return what the project adds, with sizes."""
        try:
            rows = json.loads((self.path / COMPLETE).read_text())["packages"]
            return tuple(Package(**row) for row in rows)
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return ()


def environment_of(
    *, home: Home, config: LocalConfig, runtime: RuntimeSpec, packages: PackagesSpec | None
) -> Environment:
    """Return the environment that the programs of a Deployment run in, there or not."""
    folder = RuntimeFolder(home, runtime.version, lock_file(config, runtime))
    return Environment(folder, packages.digest if packages else "")


def ensure_packages(
    *,
    home: Home,
    config: LocalConfig,
    runtime: RuntimeSpec,
    packages: PackagesSpec,
    indexes: Sequence[PackageIndex] = (),
) -> str:
    """Install the packages if they are not; return "" when they are, else a message about the
    progress. The runtime is installed already. Packages come from `indexes` first.

    Raises Permanent when it failed; the next call begins again.
    """
    environment = environment_of(home=home, config=config, runtime=runtime, packages=packages)
    supervisor = Supervisor(home)
    if environment.is_complete:
        environment.note_use()
        if supervisor.written(environment.program):
            supervisor.remove(environment.program)
        return ""
    state = supervisor.states(environment.program).get(environment.program)
    if state and state.is_up:
        return "Installing the packages of the project."
    if failure := _read_failure(environment):
        environment.progress.unlink(missing_ok=True)
        raise Permanent(failure, component="packages")
    folder = environment.runtime
    hand_over(environment, indexes)
    start_installer(
        supervisor,
        folder,
        name=environment.program,
        module="apps.dataplane.local.projects.installing",
        arguments=[folder.version, str(folder.lock), packages.digest, packages.lock_path],
    )
    return "Installing the packages of the project."


def hand_over(environment: Environment, indexes: Sequence[PackageIndex]) -> None:
    """Write package indexes, with their credentials, for the program that takes them: its command
    line and its environment would stay, and more processes can read them.
    """
    if indexes:
        write_private(environment.handover, json.dumps([asdict(one) for one in indexes]))


def take_over(environment: Environment) -> tuple[PackageIndex, ...]:
    """Return what was handed over, and leave nothing of it."""
    try:
        rows = json.loads(environment.handover.read_text())
    except FileNotFoundError:
        return ()
    environment.handover.unlink(missing_ok=True)
    return tuple(PackageIndex(**row) for row in rows)


def make(
    environment: Environment,
    *,
    config: LocalConfig,
    packages: PackagesSpec,
    indexes: Sequence[PackageIndex] = (),
) -> None:
    """Make the environment now, however long it takes. Packages come from `indexes` first.

    Raises Permanent, or Temporary when a package index does not answer. Nothing is left of one
    that failed.
    """
    if environment.is_complete:
        return
    if not environment.runtime.has_packages:
        raise Temporary(f"Runtime {environment.runtime.version} is not installed yet.")
    if shutil.disk_usage(environment.runtime.path).free < MIN_FREE_BYTES:
        raise Permanent("The disk is full. Free some space and try again.")
    lock = Path(packages.lock_path).read_bytes()
    if hashlib.sha256(lock).hexdigest() != packages.digest:
        raise Permanent("The lock of the packages is not the one that was deployed.")
    prefix = f"{UNFINISHED}{environment.path.name}-"
    unfinished = Path(tempfile.mkdtemp(prefix=prefix, dir=environment.runtime.path))
    try:
        with package_sources(config, indexes) as sources:
            _fill(unfinished, environment, sources, packages)
        if not environment.path.exists():
            unfinished.rename(environment.path)
    except OSError as error:
        if environment.is_complete:
            return  # another process was faster
        raise Permanent(f"The packages could not be installed: {error.strerror}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove_unused(home: Home, *, now: float) -> list[str]:
    """Remove environments that no program starts from and that were not used for a week, and
    remains of interrupted installations. Return their names.
    """
    programs = [path.read_text() for path in home.programs.glob("*.conf")]
    removed = []
    for path in [*home.runtimes.glob("*/project-*"), *home.runtimes.glob(f"*/{UNFINISHED}*")]:
        if any(f"{path}/" in program for program in programs):
            continue
        if path.is_dir() and _used_at(path) < now - UNUSED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return removed


def _used_at(path: Path) -> float:
    mark = path / COMPLETE
    return (mark if mark.exists() else path).stat().st_mtime


def _fill(target: Path, environment: Environment, sources: Sources, packages: PackagesSpec) -> None:
    shutil.copytree(
        environment.runtime.environment,
        target,
        symlinks=True,
        dirs_exist_ok=True,
        copy_function=_link_or_copy,
    )
    before = _installed(target)
    python = str(target / "bin" / "python")
    _uv(
        sources,
        target,
        *("pip", "install", "--no-config", "--no-deps", "--no-build", "--require-hashes"),
        *("--python", python, "--requirements", packages.lock_path),
    )
    _uv(sources, target, "pip", "check", "--no-config", "--python", python)
    _rewrite_scripts(target)
    added = [one for one in _installed(target).values() if one.name not in before]
    rows = [
        {"name": one.name, "version": one.version, "size_bytes": one.size_bytes} for one in added
    ]
    write_private(target / COMPLETE, json.dumps({"lock": packages.digest, "packages": rows}))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (28, 122):
            raise
        shutil.copy2(source, target)


def _rewrite_scripts(target: Path) -> None:
    """Let scripts start with the Python beside them, wherever the environment is."""
    for script in (target / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        match = SHEBANG.match(content)
        if match is None:
            continue
        mode = script.stat().st_mode
        # The file is shared with the other environment: replaced, never written to.
        script.unlink()
        script.write_bytes(BESIDE + content[match.end() :])
        script.chmod(mode)


def _installed(environment: Path) -> dict[str, Package]:
    """Return the packages of an environment by name, with the bytes of their files."""
    found = {}
    for record in environment.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        name, _, version = record.parent.name.removesuffix(".dist-info").partition("-")
        sizes = [
            line.rpartition(",")[2] for line in record.read_text("utf-8", "replace").split("\n")
        ]
        size = sum(int(one) for one in sizes if one.strip().isdigit())
        name = name.replace("_", "-").lower()
        found[name] = Package(name=name, version=version, size_bytes=size)
    return found


def _uv(sources: Sources, folder: Path, *arguments: str) -> None:
    command = [uv.find_uv_bin(), *arguments, "--color", "never", "--no-progress"]
    ended = run(command, environment=sources.environment, folder=folder, limits=LIMITS)
    if ended.is_late:
        raise Temporary("Installing the packages took too long. Try it again later.")
    if not ended.status:
        return
    if sources.failure:
        raise sources.failure
    output = sources.readable(ended.output)
    if cause := known_cause(output):
        raise Permanent(cause)
    if "pip" in arguments and "check" in arguments:
        raise Permanent(
            "The packages of the project do not fit this runtime, for which they were not locked. "
            f"Deploy the project again. {_last_words(output)}"
        )
    raise Permanent(f"The packages could not be installed. {_last_words(output)}")


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " ".join(lines[-2:])[:400]


def _read_failure(environment: Environment) -> str:
    try:
        return environment.progress.read_text()
    except FileNotFoundError:
        return ""
