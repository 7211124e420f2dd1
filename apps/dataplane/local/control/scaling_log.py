"""What the keeper decided about workers: a file of JSON lines in the Deployment's folder.

The keeper has no database of the portal, and decides while the portal is away; the portal reads
what is new. Only a decision that differs from the one before is written. Code of the Deployment
runs as the same user and may write here, too, so reading believes nothing.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import get_args

from apps.dataplane.local.layout import Folder
from apps.dataplane.local.private_files import write_private
from apps.dataplane.status import ScalingDecision, ScalingReason
from apps.dataplane.untrusted import number_of, text_of

MOST_BYTES, KEPT_BYTES, MOST_READ = 512_000, 256_000, 500
MOST_WORKERS, MOST_NAME, MOST_MESSAGE = 10_000, 100, 300
REASONS = frozenset(get_args(ScalingReason))
_COUNTS = (
    "concurrency",
    "min_workers",
    "max_workers",
    "cooldown_seconds",
    "wanted",
    "workers",
)


def is_news(decision: ScalingDecision, last: ScalingDecision | None) -> bool:
    """Return whether a decision says something else than the last one: inputs alone do not."""
    if last is None:
        return True
    same_inputs = replace(decision, at=last.at, queued=last.queued, running=last.running)
    return same_inputs != last


def append(folder: Folder, decision: ScalingDecision) -> None:
    """Write a decision. Raises OSError."""
    line = json.dumps(asdict(decision) | {"at": decision.at.timestamp()})
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with os.fdopen(os.open(folder.scaling_log, flags, 0o600), "a") as stream:
        stream.write(f"{line}\n")
        is_long = stream.tell() > MOST_BYTES
    if is_long:
        _shorten(folder)


def _shorten(folder: Folder) -> None:
    with folder.scaling_log.open("rb") as stream:
        stream.seek(-KEPT_BYTES, os.SEEK_END)
        _, _, kept = stream.read().partition(b"\n")
    write_private(folder.scaling_log, kept.decode(errors="replace"))


def read(folder: Folder, *, since: datetime) -> tuple[ScalingDecision, ...]:
    """Return the decisions after `since`, the oldest first, `MOST_READ` at most."""
    found = [one for one in _all(folder) if one.at > since]
    return tuple(sorted(found, key=lambda one: one.at)[:MOST_READ])


def _all(folder: Folder) -> Iterator[ScalingDecision]:
    try:
        with folder.scaling_log.open("rb") as stream:
            lines = stream.read(2 * MOST_BYTES).splitlines()
    except OSError:
        return
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and (decision := _decision(told)):
            yield decision


def _decision(told: Mapping[str, object]) -> ScalingDecision | None:
    at, queue = told.get("at"), text_of(told.get("queue"), MOST_NAME)
    counts = {name: number_of(told.get(name)) for name in _COUNTS}
    reason = told.get("reason")
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= 10**11:
        return None
    if not queue or not isinstance(reason, str) or reason not in REASONS:
        return None
    if any(count is None or not 0 <= count <= MOST_WORKERS for count in counts.values()):
        return None
    return ScalingDecision(
        at=datetime.fromtimestamp(at, UTC),
        queue=queue,
        queued=_tasks(told.get("queued")),
        running=_tasks(told.get("running")),
        ready=_tasks(told.get("ready")),
        reason=reason,  # type: ignore[arg-type]  # one of REASONS
        message=text_of(told.get("message"), MOST_MESSAGE),
        **{name: count or 0 for name, count in counts.items()},
    )


def _tasks(value: object) -> int | None:
    count = number_of(value)
    return count if count is not None and count >= 0 else None
