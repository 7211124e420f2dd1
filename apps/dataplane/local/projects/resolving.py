"""Turn requirements into a lock of the packages that a runtime lacks. uv does it.

The runtime's own lock is the constraint: nothing of it can be replaced, so Airflow and the portal's
plugins find what they were tested with. Only wheels are taken, because building a source
distribution runs its code.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.requirements import Requirement

from apps.dataplane.errors import DataPlaneError, Temporary
from apps.dataplane.local.airflow.runtimes import lock_file
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.projects.sources import Sources, package_sources
from apps.dataplane.project import PackageLock
from apps.dataplane.project_checks import locks
from apps.dataplane.project_checks.causes import known_cause
from apps.dataplane.project_checks.processes import Ended, Limits, run
from apps.dataplane.project_checks.refusals import (
    Place,
    conflict,
    has_all,
    lock_of,
    names_of,
    refuse_replacing,
    unavailable,
)
from apps.dataplane.spec import PackageIndex, RuntimeSpec

LIMITS = Limits(wall_seconds=180, cpu_seconds=120, file_mib=256)


def resolve(
    *,
    config: LocalConfig,
    runtime: RuntimeSpec,
    requirements: Sequence[str],
    preferred: Mapping[str, str],
    indexes: Sequence[PackageIndex] = (),
) -> PackageLock:
    """Lock requirements, one to a text, for the Python of this machine. `preferred` are versions by
    name that are taken where they fit; `indexes` are asked first.

    Raises Permanent with what has to change in them, Temporary when a package index does not
    answer.
    """
    wanted = [Requirement(line.split(" --hash=")[0]) for line in requirements]
    constraints = lock_file(config, runtime)
    present = locks.versions(constraints.read_text())
    refuse_replacing(wanted, present, runtime=runtime.version)
    if has_all(wanted, present):
        return PackageLock(text="", packages=())
    with package_sources(config, indexes) as sources:
        compiling = _Compiling(config, constraints, sources)
        ended, text = compiling.run(requirements, preferred)
        if ended.status:
            raise compiling.failure(ended, wanted, runtime)
    added = locks.additions(text, to=constraints.read_text())
    return lock_of(added)


@dataclass(frozen=True)
class _Compiling:
    """How uv is asked, with the lock of the runtime as its constraints."""

    config: LocalConfig
    constraints: Path
    sources: Sources

    def run(self, requirements: Iterable[str], preferred: Mapping[str, str]) -> tuple[Ended, str]:
        with tempfile.TemporaryDirectory(prefix="portal-lock-") as name:
            folder = Path(name)
            (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
            # uv prefers what stands in the file that it is to write.
            earlier = "".join(f"{name}=={version}\n" for name, version in preferred.items())
            lock = folder / "lock.txt"
            lock.write_text(earlier)
            command = [
                *(uv.find_uv_bin(), "pip", "compile", "--no-config", "--color", "never"),
                *("--python", self.config.python, "--no-build", "--generate-hashes"),
                *("--no-header", "--no-progress", "--no-annotate", "--no-emit-index-url"),
                *("--prerelease", "if-necessary-or-explicit"),
                *("--constraints", str(self.constraints), "requirements.in", "-o", "lock.txt"),
            ]
            environment = self.sources.environment
            ended = run(command, environment=environment, folder=folder, limits=LIMITS)
            return ended, lock.read_text() if lock.exists() and not ended.status else ""

    def failure(
        self, ended: Ended, wanted: list[Requirement], runtime: RuntimeSpec
    ) -> DataPlaneError:
        if ended.is_late:
            return Temporary("The package index took too long to answer. Try it again later.")
        if self.sources.failure:
            return self.sources.failure
        place = Place(runtime=runtime.version, words="this machine")
        output = self.sources.readable(ended.output)
        if refusal := unavailable(output, place):
            return refusal
        if cause := known_cause(output):
            return Temporary(cause)
        _, fitting = self.run(names_of(wanted), {})
        return conflict(output, wanted=wanted, fitting=fitting, runtime=runtime.version)
