"""Warnings of the cluster about a Deployment's objects: each once, newest first. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from apps.dataplane.kubernetes.kinds import Manifest
from apps.dataplane.kubernetes.kstatus import parse_time
from apps.dataplane.kubernetes.reasons import quote
from apps.dataplane.status import Notice

PERIOD = timedelta(hours=1)
MOST = 20


def notices_of(events: Iterable[Manifest], *, now: datetime) -> tuple[Notice, ...]:
    """Return the warnings of the last hour, the same about one object counted together."""
    found: dict[tuple[str, str], Notice] = {}
    for event in events:
        at = _last(event)
        if at is None or now - at > PERIOD:
            continue
        involved = event.get("involvedObject") or {}
        reason = quote(str(event.get("reason", "")))
        key = (str(involved.get("uid", "")), reason)
        earlier = found.get(key)
        times = _times(event) + (earlier.count if earlier else 0)
        newest = event if earlier is None or at >= earlier.last_at else None
        found[key] = Notice(
            object=quote(f"{involved.get('kind', '')}/{involved.get('name', '')}"),
            reason=reason,
            sentence=quote(str(event.get("message", "")))
            if newest is not None or earlier is None
            else earlier.sentence,
            count=times,
            last_at=max(at, earlier.last_at) if earlier else at,
        )
    newest_first = sorted(found.values(), key=lambda notice: notice.last_at, reverse=True)
    return tuple(newest_first[:MOST])


def _last(event: Manifest) -> datetime | None:
    series = event.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
    ):
        at = parse_time(text)
        if at is not None:
            return at
    return parse_time(event["metadata"].get("creationTimestamp"))


def _times(event: Manifest) -> int:
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)
