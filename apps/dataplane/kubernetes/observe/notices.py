"""Warnings of the cluster about a Deployment's objects: each once, newest first. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.observe.objects.kstatus import condition, is_true, parse_time
from apps.dataplane.kubernetes.observe.reasons import quote
from apps.dataplane.status import Notice

PERIOD = timedelta(hours=1)
MOST = 20


def notices_of(
    events: Iterable[Manifest], *, now: datetime, pods: Iterable[Manifest]
) -> tuple[Notice, ...]:
    """Return the warnings of the last hour, equal ones about one object counted together. `pods`
    are all that exist: a warning about a pod that is gone, or became ready later, is over.
    """
    by_name = {f"Pod/{pod['metadata']['name']}": pod for pod in pods}
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
            message=quote(str(event.get("message", "")))
            if newest is not None or earlier is None
            else earlier.message,
            count=times,
            last_at=max(at, earlier.last_at) if earlier else at,
        )
    newest_first = sorted(found.values(), key=lambda notice: notice.last_at, reverse=True)
    return tuple(
        replace(notice, is_over=_is_over(notice, by_name.get(notice.object)))
        for notice in newest_first[:MOST]
    )


def _is_over(notice: Notice, pod: Manifest | None) -> bool:
    if not notice.object.startswith("Pod/"):
        return False
    if pod is None or (pod.get("status") or {}).get("phase") == "Succeeded":
        return True
    if notice.reason == "FailedScheduling" and is_true(pod, "PodScheduled"):
        return True
    ready = condition(pod, "Ready")
    since = parse_time(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None
    return since is not None and since >= notice.last_at


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
