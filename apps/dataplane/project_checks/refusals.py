"""What has to change in requirements that cannot be had, from what uv says about them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from apps.dataplane.errors import Permanent
from apps.dataplane.project import MOST_PACKAGES, Package, PackageLock
from apps.dataplane.project_checks import locks

MOST_LOCK_BYTES = 8 * 1024**2
MOST_SENTENCE = 600
UNKNOWN = re.compile(r"Because (\S+) was not found in the package registry")
NO_VERSION = re.compile(r"Because there is no version of (\S+)")
NO_WHEEL = re.compile(r"(?:all versions of )?(\S+) (?:has|have) no (?:usable )?wheels")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where packages are wanted: the version of the runtime, and `words` for where that is."""

    runtime: str
    words: str


def refuse_replacing(
    wanted: Iterable[Requirement], present: Mapping[str, str], *, runtime: str
) -> None:
    """Raise Permanent for a requirement that excludes what the runtime has."""
    for one in wanted:
        version = present.get(canonicalize_name(one.name), "")
        applies = one.marker is None or one.marker.evaluate()
        if not version or not applies or one.specifier.contains(version, prereleases=True):
            continue
        raise Permanent(
            f"The project asks for {one.name}{one.specifier}, and runtime {runtime} has "
            f"{one.name} {version}, which Airflow was tested with and which cannot be replaced. "
            f"Ask for {one.name}=={version}, or leave the version out."
        )


def has_all(wanted: Iterable[Requirement], present: Mapping[str, str]) -> bool:
    """Return whether all that is wanted is there, without extras, which may need more."""
    return all(canonicalize_name(one.name) in present and not one.extras for one in wanted)


def lock_of(added: str) -> PackageLock:
    """Return a lock with its packages. Raises Permanent for one that is too large."""
    packages = tuple(Package(name=name, version=one) for name, one in locks.versions(added).items())
    if len(packages) > MOST_PACKAGES or len(added) > MOST_LOCK_BYTES:
        raise Permanent(f"The project needs more than {MOST_PACKAGES:,} packages.")
    return PackageLock(text=added, packages=packages)


def names_of(wanted: Iterable[Requirement]) -> list[str]:
    """Return the requirements without versions."""
    return [f"{one.name}[{','.join(one.extras)}]" if one.extras else one.name for one in wanted]


def unavailable(output: str, place: Place) -> Permanent | None:
    """Return what is wrong where a package cannot be had at all, None for any other failure."""
    if match := UNKNOWN.search(output):
        return Permanent(
            f"The package index has no package called {match[1]}. Check how it is written."
        )
    if match := NO_WHEEL.search(output):
        return Permanent(
            f"{match[1]} has no wheel for the Python of runtime {place.runtime} on {place.words}. "
            "Packages are not built here, because that runs their code: ask for a version that has "
            "one."
        )
    if match := NO_VERSION.search(output):
        return Permanent(f"The package index has no version {match[1]} that can be used here.")
    return None


def conflict(
    output: str, *, wanted: Iterable[Requirement], fitting: str, runtime: str
) -> Permanent:
    """Return what does not fit together. `fitting` is the lock without the project's versions."""
    return Permanent(
        f"The packages of the project do not fit together with runtime {runtime}. "
        f"{_cause(output)}{_what_fits(wanted, fitting)}"
    )


def _cause(output: str) -> str:
    """Return the last conclusion of uv, which names both sides."""
    text = " ".join(output.split("hint:")[0].split())
    cause = text.rpartition("cause: ")[2] or text
    return cause[:MOST_SENTENCE]


def _what_fits(wanted: Iterable[Requirement], fitting: str) -> str:
    found = locks.versions(fitting)
    would_do = []
    for one in wanted:
        version = found.get(canonicalize_name(one.name), "")
        if version and not one.specifier.contains(version, prereleases=True):
            would_do.append(f"{one.name}=={version}")
    return f" These would do: {', '.join(would_do[:5])}." if would_do else ""
