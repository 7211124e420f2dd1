"""The watch over the package index: what it has published of Airflow, and what it withdrew.

Source of the format: PEP 691 (JSON), PEP 700 (upload-time), PEP 592 (yanked). An unchanged page is
answered by 304 to its ETag, which costs the index nothing.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from apps.core.errors import PortalError
from apps.core.outbound.guarded_http import Guard, Reach, get
from apps.releases.models import Release, Source
from apps.runtimes.catalogue import built_in, runtimes

logger = logging.getLogger(__name__)

PACKAGE = "apache-airflow"
JSON = "application/vnd.pypi.simple.v1+json"
MOST_BYTES, SECONDS = 8 * 1024**2, 30.0
MOST_REASON = 200
SETTING = "PORTAL_RUNTIME_NETWORKS"


class IndexUnreadable(PortalError):
    """The package index did not say what it has."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A final version of Airflow; `yanked` is why it was withdrawn, empty if it was not."""

    version: str
    at: datetime
    yanked: str = ""


def look(*, now: datetime) -> int:
    """Ask the index, and note what is new; return how many releases that are. What goes wrong is
    said on the source, and what was known stays.
    """
    source, _ = Source.objects.get_or_create(name="index")
    try:
        page, etag = fetch(etag=source.data.get("etag", ""))
        added = 0 if page is None else _take(read(page), source)
    except PortalError as error:
        logger.warning("package index not read", extra={"reason": error.message})
        source.problem = error.message[:500]
        added = 0
    else:
        source.problem = ""
        source.data["etag"] = etag
    source.checked_at = now
    source.save()
    return added


def fetch(*, etag: str) -> tuple[bytes | None, str]:
    """Return the index's page of Airflow, None if it is still that of the ETag, and its ETag."""
    if not settings.PACKAGE_INDEX:
        raise IndexUnreadable(
            "No package index is named, so new releases are not found. The operator names one in "
            "PORTAL_PACKAGE_INDEX_URL."
        )
    url = f"{settings.PACKAGE_INDEX.rstrip('/')}/{PACKAGE}/"
    reach = Reach(networks=settings.RUNTIME_NETWORKS, setting=SETTING, allows_http=True)
    headers = {"Accept": JSON} | ({"If-None-Match": etag} if etag else {})
    answer = get(
        url, headers=headers, guard=Guard(reach=reach, seconds=SECONDS, most_bytes=MOST_BYTES)
    )
    if answer.status == 304:
        return None, etag
    if answer.status != 200:
        raise IndexUnreadable(f"The package index answered with status {answer.status}.")
    return answer.body, str(answer.headers.get("ETag", ""))[:200]


def read(page: bytes) -> list[Published]:
    """Return the final versions that a page names, oldest first. Raises IndexUnreadable."""
    try:
        files = json.loads(page)["files"]
        found: dict[str, Published] = {}
        for file in files:
            one = _published(file)
            if one is not None:
                found[one.version] = one
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise IndexUnreadable(
            "The package index does not answer with JSON that has times (PEP 691 and 700)."
        ) from None
    return sorted(found.values(), key=lambda one: Version(one.version))


def is_new(version: str, known: Iterable[str]) -> bool:
    """Return whether a version is newer than all known ones of its minor, and not of a minor that
    is older than all of them.
    """
    candidate, versions = Version(version), [Version(one) for one in known]
    minors = [one.release[:2] for one in versions]
    if not versions or candidate.release[:2] < min(minors):
        return False
    same = [one for one in versions if one.release[:2] == candidate.release[:2]]
    return all(candidate > one for one in same)


def _published(file: dict[str, Any]) -> Published | None:
    try:
        _, version, _, _ = parse_wheel_filename(file["filename"])
    except InvalidWheelFilename:
        return None
    if version.is_prerelease or version.is_postrelease or "upload-time" not in file:
        return None
    at = datetime.fromisoformat(file["upload-time"].replace("Z", "+00:00"))
    yanked = file.get("yanked") or ""
    reason = "Withdrawn upstream." if yanked is True else str(yanked)[:MOST_REASON]
    return Published(version=str(version), at=at.astimezone(UTC), yanked=reason)


@transaction.atomic
def _take(published: list[Published], source: Source) -> int:
    known = {one.airflow_version for one in runtimes()}
    source.data["yanked"] = {one.version: one.yanked for one in published if one.yanked}
    source.data["published"] = {
        one.version: one.at.isoformat() for one in published if one.version in known
    }
    base = [one.airflow_version for one in built_in()]
    new = [one for one in published if not one.yanked and is_new(one.version, base)]
    # Without a machine to test them on they would wait forever.
    rows = [
        Release(airflow_version=one.version, published_at=one.at)
        for one in new
        if one.version not in known and settings.HAS_LOCAL_PLANE
    ]
    before = Release.objects.count()
    Release.objects.bulk_create(rows, ignore_conflicts=True)
    return Release.objects.count() - before
