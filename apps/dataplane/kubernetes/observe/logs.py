"""Logs of a component: those of its pods, merged by time.

The cursor holds for each pod the time of the last line read and how many lines had that time,
because the API accepts times in whole seconds only and several lines may share one.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary, Unreachable
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import POD, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, QUEUE_LABEL
from apps.dataplane.kubernetes.observe.objects import kstatus
from apps.dataplane.kubernetes.observe.reasons import containers_of
from apps.dataplane.kubernetes.render.pods.placement import TASK
from apps.dataplane.status import LogLine, LogPage

MOST_PODS = 20
MOST_BYTES = 2 * 1024 * 1024
LONGEST_CURSOR = 20_000
LOG_LINES = 30
LONGEST_LINE = 4000
CORE = ("api-server", "scheduler", "dag-processor", "triggerer")
WORKER = "worker"


@dataclass(frozen=True)
class Line:
    """One line with the kubelet's exact time stamp."""

    stamp: str
    pod: str
    text: str


def component_name(item: Manifest) -> str:
    """Name the component that an object or a pod belongs to, as people know it."""
    labels = item["metadata"].get("labels") or {}
    component = str(labels.get(COMPONENT_LABEL, ""))
    queue = labels.get(QUEUE_LABEL)
    return f"worker {queue}" if component == WORKER and queue else component


def last_lines_of_job(api: Api, *, namespace: str, job: str) -> tuple[str, ...]:
    """Return the last lines of a Job's newest pod, none if it cannot be read any more."""
    # A pod of a task has whatever labels its DAG says, beside its own.
    labels = f"batch.kubernetes.io/job-name={job},{COMPONENT_LABEL}!={TASK}"
    pods = api.list(POD, namespace=namespace, labels=labels)
    pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    if not pods:
        return ()
    try:
        lines = _read(api, namespace, pods[-1], {"tailLines": str(LOG_LINES)})
    except DataPlaneError:
        return ()
    return tuple(line.text for line in lines)


def read_page(
    api: Api,
    *,
    namespace: str,
    pods: Sequence[Manifest],
    cursor: str,
    contains: str,
    limit: int,
) -> LogPage:
    """Read the last `limit` lines of some pods, or those after `cursor`."""
    known = _parse_cursor(cursor)
    chosen = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    chosen = chosen[-MOST_PODS:]
    names = [pod["metadata"]["name"] for pod in chosen]

    silent: list[Temporary] = []

    def read(pod: Manifest) -> list[Line]:
        name = pod["metadata"]["name"]
        try:
            if name in known:
                return _after(api, namespace, pod, known[name])
            return _tail(api, namespace, pod, limit)
        except Unreachable:
            raise
        except Temporary as error:
            # Its node does not answer; other pods may be on other nodes.
            silent.append(error)
            return []

    found = [line for lines in in_parallel(read, chosen) for line in lines]
    if silent and len(silent) == len(chosen):
        raise Temporary(
            "The nodes of this component's pods do not return their logs at the moment."
        )
    found.sort(key=lambda line: line.stamp)
    kept = found[:limit] if cursor else found[-limit:]
    lines = [
        LogLine(at=kstatus.parse_time(line.stamp), component=line.pod, text=line.text)
        for line in kept
        if contains.lower() in line.text.lower()
    ]
    return LogPage(
        lines=tuple(lines),
        cursor=_cursor({name: known[name] for name in names if name in known}, kept),
        is_truncated=len(found) > len(kept) and not cursor,
    )


def _tail(api: Api, namespace: str, pod: Manifest, limit: int) -> list[Line]:
    """Read the end of a pod's log, and before it how its last run ended if it was restarted."""
    query = {"tailLines": str(limit)}
    lines: list[Line] = []
    if any(c.get("restartCount") for c in containers_of(pod)):
        lines = _readable(api, namespace, pod, {**query, "previous": "true"})
    return [*lines, *_readable(api, namespace, pod, query)]


def _after(api: Api, namespace: str, pod: Manifest, mark: tuple[str, int]) -> list[Line]:
    """Read what came after a mark: the time of the last line, and how many lines had it."""
    stamp, seen = mark
    since = kstatus.parse_time(stamp)
    query = {"sinceTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")} if since else {"tailLines": "500"}
    lines = [line for line in _readable(api, namespace, pod, query) if line.stamp >= stamp]
    same = [line for line in lines if line.stamp == stamp]
    return lines[min(seen, len(same)) :]


def _readable(api: Api, namespace: str, pod: Manifest, query: dict[str, str]) -> list[Line]:
    try:
        return _read(api, namespace, pod, query)
    except Permanent:
        # Its container has not started, or the last run's log is gone.
        return []


def _read(api: Api, namespace: str, pod: Manifest, query: dict[str, str]) -> list[Line]:
    name = pod["metadata"]["name"]
    text = api.text(
        POD.path(namespace=namespace, name=name, part="log"),
        query={
            "timestamps": "true",
            "limitBytes": str(MOST_BYTES),
            "container": pod["spec"]["containers"][0]["name"],
            **query,
        },
    )
    return [_line(name, line) for line in text.splitlines() if line]


def _line(pod: str, line: str) -> Line:
    stamp, _, text = line.partition(" ")
    return Line(stamp=stamp, pod=pod, text=text[:LONGEST_LINE])


def _cursor(known: dict[str, tuple[str, int]], lines: Sequence[Line]) -> str:
    for line in lines:
        stamp, seen = known.get(line.pod, ("", 0))
        known[line.pod] = (line.stamp, seen + 1 if line.stamp == stamp else 1)
    return base64.urlsafe_b64encode(orjson.dumps(known)).decode() if known else ""


def _parse_cursor(cursor: str) -> dict[str, tuple[str, int]]:
    """Parse a cursor; it comes from a browser, so it may hold anything."""
    if not cursor or len(cursor) > LONGEST_CURSOR:
        return {}
    try:
        data = orjson.loads(base64.urlsafe_b64decode(cursor))
        return {str(pod): (str(mark[0]), int(mark[1])) for pod, mark in data.items()}
    except (binascii.Error, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return {}
