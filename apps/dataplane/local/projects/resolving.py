"""Turn requirements into a lock of the packages that a runtime lacks. uv does it.

The runtime's own lock is the constraint: nothing of it can be replaced, so Airflow and the portal's
plugins find what they were tested with. Only wheels are taken, because building a source
distribution runs its code.
"""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local.airflow.installer import known_cause
from apps.dataplane.local.airflow.runtimes import lock_file, uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.projects import locks
from apps.dataplane.local.projects.processes import Ended, Limits, run
from apps.dataplane.project import MOST_PACKAGES, Package, PackageLock
from apps.dataplane.spec import RuntimeSpec

LIMITS = Limits(wall_seconds=180, cpu_seconds=120, file_mib=256)
MOST_LOCK_BYTES = 8 * 1024**2
MOST_SENTENCE = 600
UNKNOWN = re.compile(r"Because (\S+) was not found in the package registry")
NO_VERSION = re.compile(r"Because there is no version of (\S+)")
NO_WHEEL = re.compile(r"(?:all versions of )?(\S+) (?:has|have) no (?:usable )?wheels")


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
    _refuse_replacing(wanted, present, runtime)
    if all(canonicalize_name(one.name) in present and not one.extras for one in wanted):
        return PackageLock(text="", packages=())
    ended, text = _compile(config, constraints, requirements, preferred)
    if ended.status:
        raise _failure(ended, config, constraints, wanted, runtime)
    added = locks.additions(text, to=constraints.read_text())
    packages = tuple(Package(name=name, version=one) for name, one in locks.versions(added).items())
    if len(packages) > MOST_PACKAGES or len(added) > MOST_LOCK_BYTES:
        raise Permanent(f"The project needs more than {MOST_PACKAGES:,} packages.")
    return PackageLock(text=added, packages=packages)


def _refuse_replacing(
    wanted: Iterable[Requirement], present: dict[str, str], runtime: RuntimeSpec
) -> None:
    for one in wanted:
        version = present.get(canonicalize_name(one.name), "")
        applies = one.marker is None or one.marker.evaluate()
        if not version or not applies or one.specifier.contains(version, prereleases=True):
            continue
        raise Permanent(
            f"The project asks for {one.name}{one.specifier}, and runtime {runtime.version} has "
            f"{one.name} {version}, which Airflow was tested with and which cannot be replaced. "
            f"Ask for {one.name}=={version}, or leave the version out."
        )


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
    if match := UNKNOWN.search(ended.output):
        return Permanent(
            f"The package index has no package called {match[1]}. Check how it is written."
        )
    if match := NO_WHEEL.search(ended.output):
        return Permanent(
            f"{match[1]} has no wheel for the Python of runtime {runtime.version} on this machine. "
            "Packages are not built here, because that runs their code: ask for a version that has "
            "one."
        )
    if match := NO_VERSION.search(ended.output):
        return Permanent(f"The package index has no version {match[1]} that can be used here.")
    if cause := known_cause(ended.output):
        return Temporary(cause)
    fits = _what_fits(config, constraints, wanted)
    return Permanent(
        f"The packages of the project do not fit together with runtime {runtime.version}. "
        f"{_cause(ended.output)}{fits}"
    )


def _cause(output: str) -> str:
    """Return the last conclusion of uv, which names both sides."""
    text = " ".join(output.split("hint:")[0].split())
    cause = text.rpartition("cause: ")[2] or text
    return cause[:MOST_SENTENCE]


def _what_fits(config: LocalConfig, constraints: Path, wanted: list[Requirement]) -> str:
    """Say which versions would do, if there are any once the project leaves its own out."""
    names = [f"{one.name}[{','.join(one.extras)}]" if one.extras else one.name for one in wanted]
    ended, text = _compile(config, constraints, names, {})
    if ended.status:
        return ""
    found = locks.versions(text)
    fitting = []
    for one in wanted:
        version = found.get(canonicalize_name(one.name), "")
        if version and not one.specifier.contains(version, prereleases=True):
            fitting.append(f"{one.name}=={version}")
    return f" These would do: {', '.join(fitting[:5])}." if fitting else ""
