"""A real run of a Deployment on the local plane, recorded: four bursts in seven minutes, sampled
every ten seconds, with what the keeper decided. A queue of two tasks per worker, none to three
workers, on a busy machine of two cores. Three times as slow it is sampled every 30 seconds, as the
portal does.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apps.dataplane.status import ScalingDecision
from apps.deployments.models import Deployment
from apps.observability.history import storage
from apps.observability.history.decisions import LastDecisions, write_decisions
from apps.observability.history.models import Collection, RecordedDecision
from apps.observability.history.storage import Buckets, Gauges, SeriesIds

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded_scaling.json").read_text())
SECONDS, SLOWER = 420, 3


def recorded_decisions(
    *, begin: float, queue: str = "default", slower: int = 1
) -> list[ScalingDecision]:
    """Return what the keeper decided, as if the run had begun at `begin`."""
    settings = RECORDED["settings"]
    cooldown = {"cooldown_seconds": settings["cooldown_seconds"] * slower}
    return [
        ScalingDecision(
            at=datetime.fromtimestamp(begin + at * slower, UTC),
            queue=queue,
            queued=queued,
            running=running,
            wanted=wanted,
            workers=workers,
            ready=ready,
            reason=reason,
            **settings | cooldown,
        )
        for at, queued, running, wanted, workers, ready, reason in RECORDED["decisions"]
    ]


def rows_of(decisions: list[ScalingDecision]) -> list[RecordedDecision]:
    """Return decisions as rows that are not stored."""
    return [RecordedDecision(**decision.__dict__) for decision in decisions]


def put_recording(deployment: Deployment, *, now: datetime, queue: str = "default") -> None:
    """Write the recorded run so that it ends now."""
    begin, ids = now.timestamp() - SECONDS * SLOWER, SeriesIds()
    gauges = [
        Gauges(
            deployment_id=deployment.pk,
            at=datetime.fromtimestamp(begin + at * SLOWER, UTC),
            values={("queued", queue): float(queued), ("running", queue): float(running)},
        )
        for at, queued, running in RECORDED["samples"]
    ]
    storage.write_samples(gauges=gauges, ids=ids)
    told = {deployment.pk: recorded_decisions(begin=begin, queue=queue, slower=SLOWER)}
    write_decisions(told=told, last=LastDecisions(), now=now)
    end = int(now.timestamp()) // 300 * 300
    counted = {"tasks_succeeded": {end - 300: float(RECORDED["ended"])}}
    ended = Buckets(deployment_id=deployment.pk, begin=end - 600, end=end, values=counted)
    storage.write_buckets(buckets=ended, ids=ids)
    Collection.objects.update_or_create(
        deployment=deployment, defaults={"next_at": now, "answered_at": now}
    )
