"""Decisions about workers: writing what is new of them, reading those of a queue, and forgetting.

A plane may tell the same twice, and one that keeps no record tells the present each time: a
decision that says nothing else than the one before is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from apps.dataplane.status import ScalingDecision
from apps.deployments.models import Phase
from apps.observability.history.models import RecordedDecision

# Of a Deployment that nothing is known of, no older ones are asked for.
FIRST = timedelta(days=7)
# Changes of a queue that stand between two looks; more of them are no history but noise.
MOST_AT_ONCE = 500
# Of one Deployment no more are kept, whatever their age.
MOST_KEPT = 20_000
_SAID = (
    "concurrency",
    "min_workers",
    "max_workers",
    "cooldown_seconds",
    "wanted",
    "workers",
    "ready",
    "reason",
    "message",
)
_FIELDS = ("at", "queued", "running", *_SAID)


@dataclass
class LastDecisions:
    """What was written last of each queue, remembered by the process that writes."""

    known: dict[int, dict[str, RecordedDecision]] = field(default_factory=dict)

    def of(self, deployment_ids: Iterable[int]) -> Mapping[int, dict[str, RecordedDecision]]:
        """Return the last decisions by Deployment and queue; one statement for those not known."""
        missing = [pk for pk in deployment_ids if pk not in self.known]
        if missing:
            self.known |= {pk: {} for pk in missing}
            rows = RecordedDecision.objects.filter(deployment_id__in=missing)
            for row in rows.order_by("deployment_id", "queue", "-at").distinct(
                "deployment_id", "queue"
            ):
                self.known[row.deployment_id][row.queue] = row
        return self.known

    def since(self, deployment_id: int, *, now: datetime) -> datetime:
        """Return from when on decisions of a Deployment are new to this process."""
        kept = self.known.get(deployment_id, {})
        return max((row.at for row in kept.values()), default=now - FIRST)

    def forget(self) -> None:
        """Forget everything, after a failure of the database."""
        self.known.clear()


def write_decisions(
    *, told: Mapping[int, Sequence[ScalingDecision]], last: LastDecisions, now: datetime
) -> int:
    """Write what is new, by Deployment; return how many that were. Two statements at most."""
    known = last.of(told)
    rows: list[RecordedDecision] = []
    for pk, decisions in told.items():
        for decision in decisions[:MOST_AT_ONCE]:
            row = RecordedDecision(deployment_id=pk, queue=decision.queue, **_values(decision))
            before = known[pk].get(row.queue)
            if row.at > now + timedelta(minutes=5) or (before and not _is_news(row, before)):
                continue
            known[pk][row.queue] = row
            rows.append(row)
    if rows:
        RecordedDecision.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _values(decision: ScalingDecision) -> dict[str, object]:
    return {name: getattr(decision, name) for name in _FIELDS}


def _is_news(row: RecordedDecision, before: RecordedDecision) -> bool:
    is_same = all(getattr(row, name) == getattr(before, name) for name in _SAID)
    return row.at > before.at and not is_same


def decisions_of(
    *, deployment_id: int, queue: str, begin: datetime, end: datetime
) -> QuerySet[RecordedDecision]:
    """Return the decisions of a queue in a span, the newest first."""
    rows = RecordedDecision.objects.filter(deployment_id=deployment_id, queue=queue)
    return rows.filter(at__gte=begin, at__lt=end).order_by("-at")


def decision_before(*, deployment_id: int, queue: str, at: datetime) -> RecordedDecision | None:
    """Return the decision that held at a moment."""
    rows = RecordedDecision.objects.filter(deployment_id=deployment_id, queue=queue, at__lt=at)
    return rows.order_by("-at").first()


def forget_decisions(*, now: datetime) -> int:
    """Delete decisions that are older than five-minute values, those of Deployments that were
    deleted, and of each other one those above `MOST_KEPT`; return how many.
    """
    RecordedDecision.objects.filter(deployment__phase=Phase.DELETED).delete()
    before = now - timedelta(days=settings.HISTORY_FINE_DAYS)
    count = RecordedDecision.objects.filter(at__lt=before).delete()[0]
    for pk in RecordedDecision.objects.values_list("deployment_id", flat=True).distinct():
        rows = RecordedDecision.objects.filter(deployment_id=pk).order_by("-at")
        last = rows.values_list("at", flat=True)[MOST_KEPT : MOST_KEPT + 1].first()
        if last is not None:
            count += rows.filter(at__lte=last).delete()[0]
    return count
