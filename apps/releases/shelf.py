"""Writes what was tested here, and what upstream withdrew, where the catalogue reads it. The rows
are the truth; the files can be written again at any time.
"""

import json
import logging
from datetime import timedelta
from typing import Any

from apps.dataplane.local.private_files import write_private
from apps.releases.models import Release, ReleaseState, Source
from apps.runtimes import additions

logger = logging.getLogger(__name__)

# As in runtime/catalogue.toml: a year and a half from the day of the release.
SUPPORTED = timedelta(days=547)
PYTHONS = ["3.11", "3.12", "3.13"]


def write() -> bool:
    """Write the locks of tested releases, then the list that names them; return whether it worked.
    On Kubernetes a portal without a shared folder has nowhere to write, and nothing tested.
    """
    try:
        _write()
    except OSError as error:
        logger.warning("runtimes not written", extra={"reason": error.strerror})
        return False
    return True


def _write() -> None:
    tested = Release.objects.filter(state=ReleaseState.TESTED).order_by("published_at")
    for release in tested:
        write_lock(release)
    index = Source.objects.filter(name="index").first()
    document = {
        "runtimes": [_entry(release) for release in tested],
        "yanked": index.data.get("yanked", {}) if index else {},
    }
    additions.folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(additions.folder() / additions.TESTED, json.dumps(document, sort_keys=True))


def write_lock(release: Release) -> str:
    """Write the lock of a release and return its path."""
    path = additions.lock_file(release.airflow_version)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, release.lock)
    return str(path)


def _entry(release: Release) -> dict[str, Any]:
    day = release.published_at.date()
    return {
        "version": release.runtime,
        "airflow_version": release.airflow_version,
        "python_versions": PYTHONS,
        "released": day.isoformat(),
        "supported_until": (day + SUPPORTED).isoformat(),
        "image": f"apache/airflow:{release.airflow_version}",
        "lock": str(additions.lock_file(release.airflow_version)),
        "source": "tested",
    }
