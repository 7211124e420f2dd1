"""What changed is evaluated at once, not with the next evaluation of all.

    every 5 s, by the notifier ──▶ stored anew? a limit passed? a hold running? ──▶ evaluate those

What was looked at is remembered in the process. A row that it misses is evaluated with all others,
every 30 seconds.
"""

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.deployments.models import Deployment, Phase
from apps.observability.incidents.detectors.portal import CREDENTIAL_NOW, CREDENTIAL_SOON
from apps.observability.incidents.detectors.seen import OLD_ON_A_CLUSTER, OLD_ON_THIS_MACHINE
from apps.observability.incidents.evaluation import BATCH, evaluate_some
from apps.observability.incidents.hysteresis import ONE_EVALUATION
from apps.observability.incidents.models import Incident

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
        "pk", "observed_at", "cluster__credential_expires_at", *_READ
    )
    today = timezone.localdate(now)
    return {
        pk: (*read, seen_at, ends, today, _limits_passed(seen_at, ends, now))
        for pk, seen_at, ends, *read in rows
    }


def _limits_passed(seen_at: datetime | None, ends: datetime | None, now: datetime) -> int:
    """Count the limits of detectors that the clock alone has passed."""
    ages = (
        [now - seen_at > one for one in (OLD_ON_THIS_MACHINE, OLD_ON_A_CLUSTER)] if seen_at else []
    )
    left = [ends - now <= one for one in (CREDENTIAL_SOON, CREDENTIAL_NOW)] if ends else []
    return sum(ages) + sum(left) + (ends is not None and ends <= now)


def _holding(now: datetime) -> set[int]:
    """Return the Deployments with an incident that waits to open or to close, and for which another
    evaluation counts.
    """
    waiting = Q(opened_at=None) | Q(clear_since__isnull=False)
    rows = Incident.objects.unclosed().filter(waiting, checked_at__lte=now - ONE_EVALUATION)
    return set(rows.values_list("deployment_id", flat=True))
