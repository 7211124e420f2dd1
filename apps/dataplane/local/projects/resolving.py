"""Turn requirements into a lock of the packages that a runtime lacks. uv does it.

The runtime's own lock is the constraint: nothing of it can be replaced, so Airflow and the portal's
plugins find what they were tested with. Only wheels are taken, because building a source
distribution runs its code.
"""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uv
from packaging.requirements import Requirement

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow.runtimes import lock_file, uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.projects.processes import Ended, Limits, run
from apps.dataplane.project import PackageLock
from apps.dataplane.project_checks import locks
from apps.dataplane.project_checks.causes import known_cause
from apps.dataplane.project_checks.refusals import (
    Place,
    conflict,
    has_all,
    lock_of,
    names_of,
    refuse_replacing,
    unavailable,
)
from apps.dataplane.spec import RuntimeSpec

LIMITS = Limits(wall_seconds=180, cpu_seconds=120, file_mib=256)


def resolve(
    *,
    config: LocalConfig,
    runtime: RuntimeSpec,
    requirements: Sequence[str],
    preferred: Mapping[str, str],
) -> PackageLock:
    """Lock requirements, one to a text, for the Python of this machine. `preferred` are versions by
    name that are taken where they fit.

    Raises Permanent with what has to change in them, Temporary when the package index does not
    answer.
    """
    wanted = [Requirement(line.split(" --hash=")[0]) for line in requirements]
    constraints = lock_file(config, runtime)
    present = locks.versions(constraints.read_text())
    refuse_replacing(wanted, present, runtime=runtime.version)
    if has_all(wanted, present):
        return PackageLock(text="", packages=())
    ended, text = _compile(config, constraints, requirements, preferred)
    if ended.status:
        raise _failure(ended, config, constraints, wanted, runtime)
    added = locks.additions(text, to=constraints.read_text())
    return lock_of(added)


def _compile(
    config: LocalConfig,
    constraints: Path,
    requirements: Iterable[str],
    preferred: Mapping[str, str],
) -> tuple[Ended, str]:
    with tempfile.TemporaryDirectory(prefix="portal-lock-") as name:
        folder = Path(name)
        (folder / "requirements.in").write_text("".join(f"{line}\n" for line in requirements))
        # uv prefers what stands in the file that it is to write.
        earlier = "".join(f"{name}=={version}\n" for name, version in preferred.items())
        (folder / "lock.txt").write_text(earlier)
        command = [
            *(uv.find_uv_bin(), "pip", "compile", "--no-config", "--color", "never"),
            *("--python", config.python, "--no-build", "--generate-hashes", "--no-header"),
            *("--no-progress", "--no-annotate", "--no-emit-index-url"),
            *("--prerelease", "if-necessary-or-explicit"),
            *("--constraints", str(constraints), "requirements.in", "-o", "lock.txt"),
        ]
        environment = uv_environment(config)
        ended = run(command, environment=environment, folder=folder, limits=LIMITS)
        lock = folder / "lock.txt"
        return ended, lock.read_text() if lock.exists() and not ended.status else ""


def _failure(
    ended: Ended,
    config: LocalConfig,
    constraints: Path,
    wanted: list[Requirement],
    runtime: RuntimeSpec,
) -> Permanent | Temporary:
    if ended.is_late:
        return Temporary("The package index took too long to answer. Try it again later.")
    place = Place(runtime=runtime.version, words="this machine")
    if refusal := unavailable(ended.output, place):
        return refusal
    if cause := known_cause(ended.output):
        return Temporary(cause)
    _, fitting = _compile(config, constraints, names_of(wanted), {})
    return conflict(ended.output, wanted=wanted, fitting=fitting, runtime=runtime.version)
