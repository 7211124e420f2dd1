"""The version catalogue: a file of this repository, because a runtime is code that was locked and
run, not data.
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

RUNTIME_FOLDER = Path(__file__).resolve().parents[2] / "runtime"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A tested pair of Airflow version and image. `yanked` says why it must not be chosen, empty if
    it may.
    """

    version: str
    airflow_version: str
    python_versions: tuple[str, ...]
    released: date
    supported_until: date
    image: str
    lock: str
    yanked: str

    @property
    def lock_path(self) -> Path:
        return RUNTIME_FOLDER / self.lock

    def is_supported(self, *, today: date) -> bool:
        return today <= self.supported_until

    def is_offered(self, *, today: date) -> bool:
        return not self.yanked and self.is_supported(today=today)


@cache
def runtimes() -> tuple[Runtime, ...]:
    """Return every runtime of the catalogue, newest first."""
    data = tomllib.loads((RUNTIME_FOLDER / "catalogue.toml").read_text())
    found = [_runtime(entry) for entry in data["runtime"]]
    return tuple(sorted(found, key=lambda runtime: runtime.released, reverse=True))


def offered_runtimes(*, today: date) -> tuple[Runtime, ...]:
    """Return the runtimes that a new Deployment may choose, newest first; the first is the
    recommended one.
    """
    return tuple(runtime for runtime in runtimes() if runtime.is_offered(today=today))


def runtime_called(version: str) -> Runtime:
    """Return one runtime; raises KeyError for a version that the catalogue does not know."""
    by_version = {runtime.version: runtime for runtime in runtimes()}
    return by_version[version]


def _runtime(entry: dict[str, Any]) -> Runtime:
    return Runtime(
        version=entry["version"],
        airflow_version=entry["airflow_version"],
        python_versions=tuple(entry["python_versions"]),
        released=entry["released"],
        supported_until=entry["supported_until"],
        image=entry["image"],
        lock=entry["lock"],
        yanked=entry.get("yanked", ""),
    )
