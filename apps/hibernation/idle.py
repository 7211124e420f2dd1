"""Puts Deployments to sleep that had nothing to do for as many hours as their plan says.

A task that waits or runs, a run that ended, an edit, a deploy and a wake are something to do. Where
it is not known what runs, nothing is put to sleep.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from apps.dags.models import DagSummary
from apps.dataplane.hibernation.turns import active_override, next_scheduled_wake
from apps.deployments.editing.hibernating import hibernate
from apps.deployments.editing.plans import plan_of
from apps.deployments.models import Deployment, Health, Phase, RevisionState
from apps.hibernation.models import Sleep
from apps.observability.history.queries import latest

TASKS = ("queued", "running")


def hibernate_idle(*, now: datetime) -> int:
    """Put those to sleep that are idle for long enough; return how many."""
    awake = Deployment.objects.filter(
        hibernation__idle_hours__gt=0,
        is_hibernating=False,
        phase=Phase.ACTIVE,
        health=Health.HEALTHY,
        wanted__state=RevisionState.APPLIED,
        cluster__blind_until=None,
    )
    found = list(awake.select_related("wanted"))
    ids = [one.pk for one in found]
    tasks = latest(deployment_ids=ids, metrics=TASKS, now=now)
    last = _last_activity(ids)
    count = 0
    for one in found:
        known = tasks.get(one.pk, {})
        began = one.wanted.applied_at or one.wanted.created_at if one.wanted else now
        since = max(last[one.pk], began)
        plan = plan_of(one)
        is_busy = not known or any(known.values()) or active_override(plan, now) is not None
        if is_busy or now - since < timedelta(hours=plan.idle_hours):
            continue
        until = next_scheduled_wake(plan, now)
        hibernate(actor=None, deployment=one, until=until, now=now, reason="nothing to do")
        count += 1
    return count


def _last_activity(ids: Iterable[int]) -> dict[int, datetime]:
    """Return when the last run that is known ended, or when it woke, by Deployment."""
    last: dict[int, datetime] = defaultdict(lambda: datetime.min.replace(tzinfo=UTC))
    runs = DagSummary.objects.filter(deployment__in=ids).values_list("deployment_id", "runs")
    for pk, found in runs:
        for _, due, seconds in found:
            ended = datetime.fromtimestamp(due + (seconds or 0), UTC)
            last[pk] = max(last[pk], ended)
    woken = Sleep.objects.filter(deployment__in=ids).exclude(ended_at=None)
    for pk, ended_at in woken.values_list("deployment_id", "ended_at"):
        last[pk] = max(last[pk], ended_at or last[pk])
    return last
