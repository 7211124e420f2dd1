"""The version catalogue: a file of this repository, because a runtime is code that was locked and
run, not data; then what the signed feed added or withdrew, and what was tested on this machine.
"""

import tomllib
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from packaging.version import Version

from apps.runtimes import additions

RUNTIME_FOLDER = Path(__file__).resolve().parents[2] / "runtime"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A tested pair of Airflow version and image. `yanked` says why it must not be chosen, empty if
    it may. `source` is whose word it is: of the portal, of the feed, or of a test here.
    """

    version: str
    airflow_version: str
    python_versions: tuple[str, ...]
    released: date
    supported_until: date
    image: str
    lock: str
    yanked: str
    source: str = "portal"

    @property
    def lock_path(self) -> Path:
        return RUNTIME_FOLDER / self.lock

    def is_supported(self, *, today: date) -> bool:
        return today <= self.supported_until

    def is_offered(self, *, today: date) -> bool:
        return not self.yanked and self.is_supported(today=today)


def runtimes() -> tuple[Runtime, ...]:
    """Return every runtime of the catalogue, that of the newest Airflow first."""
    return _runtimes(additions.folder(), additions.mark())


@lru_cache(maxsize=4)
def _runtimes(_folder: Path, _mark: object) -> tuple[Runtime, ...]:
    by_version = {one.version: one for one in built_in()}
    for entry in additions.entries():
        known = by_version.get(entry["version"])
        # The feed may withdraw or prolong what is built in, never replace its packages.
        by_version[entry["version"]] = _amended(known, entry) if known else _runtime(entry)
    withdrawn = additions.withdrawn()
    found = [
        replace(one, yanked=one.yanked or withdrawn.get(one.airflow_version, ""))
        for one in by_version.values()
    ]
    return tuple(sorted(found, key=lambda one: Version(one.airflow_version), reverse=True))


@cache
def built_in() -> tuple[Runtime, ...]:
    """Return the runtimes that came with this portal."""
    data = tomllib.loads((RUNTIME_FOLDER / "catalogue.toml").read_text())
    return tuple(_runtime(entry) for entry in data["runtime"])


def offered_runtimes(*, today: date) -> tuple[Runtime, ...]:
    """Return the runtimes that a new Deployment may choose, newest first; the first is the
    recommended one.
    """
    return tuple(runtime for runtime in runtimes() if runtime.is_offered(today=today))


def runtime_called(version: str) -> Runtime:
    """Return one runtime; raises KeyError for a version that the catalogue does not know."""
    by_version = {runtime.version: runtime for runtime in runtimes()}
    return by_version[version]


def _amended(known: Runtime, entry: dict[str, Any]) -> Runtime:
    return replace(
        known,
        supported_until=_date(entry["supported_until"]),
        yanked=entry.get("yanked", ""),
    )


def _date(value: date | str) -> date:
    return additions.read_date(value) if isinstance(value, str) else value


def _runtime(entry: dict[str, Any]) -> Runtime:
    return Runtime(
        version=entry["version"],
        airflow_version=entry["airflow_version"],
        python_versions=tuple(entry["python_versions"]),
        released=_date(entry["released"]),
        supported_until=_date(entry["supported_until"]),
        image=entry["image"],
        lock=entry["lock"],
        yanked=entry.get("yanked", ""),
        source=entry.get("source", "portal"),
    )
