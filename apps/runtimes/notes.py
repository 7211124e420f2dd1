"""Notes about a Deployment's runtime: withdrawn, out of support, or an update."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from packaging.version import Version

from apps.runtimes.catalogue import offered_runtimes, runtimes

SOON = timedelta(days=60)


@dataclass(frozen=True)
class RuntimeNote:
    message: str
    tone: Literal["", "warn", "bad"]


def runtime_note(version: str, *, today: date) -> RuntimeNote | None:
    """Return the most urgent note about a runtime, None when there is nothing to report."""
    runtime = next((one for one in runtimes() if one.version == version), None)
    if runtime is None:
        return RuntimeNote("Not in the catalogue", "bad")
    if runtime.yanked:
        return RuntimeNote(f"Withdrawn: {runtime.yanked}", "bad")
    until = f"{runtime.supported_until.day} {runtime.supported_until:%b %Y}"
    if not runtime.is_supported(today=today):
        return RuntimeNote(f"Support ended on {until}", "bad")
    if runtime.supported_until - today < SOON:
        return RuntimeNote(f"Support ends on {until}", "warn")
    newest = offered_runtimes(today=today)[0]
    if Version(newest.airflow_version) > Version(runtime.airflow_version):
        return RuntimeNote(f"{newest.version} is available", "")
    return None
