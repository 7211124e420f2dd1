"""What changed is evaluated at once, not with the next evaluation of all.

    every 5 s, by the notifier ──▶ stored anew? a limit passed? a hold running? ──▶ evaluate those

What was looked at is remembered in the process. A row that it misses is evaluated with all others,
every 30 seconds.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.clusters.queries import EXPIRING
from apps.deployments.models import Deployment, Phase
from apps.observability.incidents.detectors.portal import CREDENTIAL_NOW, CREDENTIAL_SOON
from apps.observability.incidents.detectors.seen import OLD_ON_A_CLUSTER, OLD_ON_THIS_MACHINE
from apps.observability.incidents.evaluation import BATCH, evaluate_some
from apps.observability.incidents.hysteresis import ONE_EVALUATION
from apps.observability.incidents.models import Incident

_ENDS = tuple(f"cluster__{column}" for column in EXPIRING)
# What says that something of what detectors read was stored anew.
_READ = (
    "phase",
    "health",
    "is_hibernating",
    "failures",
    "last_error",
    "quarantined_at",
    "wanted",
    "wanted__state",
    "cluster__unreachable_since",
    "collection__answered_at",
)


class ChangedDeployments:
    """Those of which something was stored since this looked at them last."""

    def __init__(self) -> None:
        self._looked_at: dict[int, tuple[Any, ...]] = {}
        self.is_behind = False

    def evaluate(self, *, now: datetime) -> int:
        """Evaluate what changed; return how many Deployments that were. Two queries, and those of
        an evaluation where something changed. While another worker is at it, `is_behind` is set.
        """
        found = _versions(now)
        holding = _holding(now)
        due = [pk for pk, one in found.items() if self._looked_at.get(pk) != one or pk in holding]
        self._looked_at = {pk: one for pk, one in self._looked_at.items() if pk in found}
        self.is_behind = False
        for begin in range(0, len(due), BATCH):
            some = due[begin : begin + BATCH]
            if not evaluate_some(deployment_ids=some, now=now):
                self.is_behind = True
                return begin
            self._looked_at.update((pk, found[pk]) for pk in some)
        return len(due)


def _versions(now: datetime) -> dict[int, tuple[Any, ...]]:
    rows = Deployment.objects.exclude(phase=Phase.DELETED).values_list(
        "pk", "observed_at", *_ENDS, *_READ
    )
    today = timezone.localdate(now)
    return {
        pk: (*read, seen_at, today, _limits_passed(seen_at, read[: len(_ENDS)], now))
        for pk, seen_at, *read in rows
    }


def _limits_passed(seen_at: datetime | None, ends: Sequence[datetime | None], now: datetime) -> int:
    """Count the limits of detectors that the clock alone has passed."""
    ages = (
        [now - seen_at > one for one in (OLD_ON_THIS_MACHINE, OLD_ON_A_CLUSTER)] if seen_at else []
    )
    limits = (CREDENTIAL_SOON, CREDENTIAL_NOW, timedelta(0))
    left = [at - now <= one for at in ends if at for one in limits]
    return sum(ages) + sum(left)


def _holding(now: datetime) -> set[int]:
    """Return the Deployments with an incident that waits to open or to close, and for which another
    evaluation counts.
    """
    waiting = Q(opened_at=None) | Q(clear_since__isnull=False)
    rows = Incident.objects.unclosed().filter(waiting, checked_at__lte=now - ONE_EVALUATION)
    return set(rows.values_list("deployment_id", flat=True))
