"""One sweep: read what was stored since the last one, change alerts, write what is to be told.

    1. take results, in the order in which they ended         4. close what nothing is heard of
    2. judge them and what runs long, by the rules            5. compose messages that are due
    3. follow incidents; check deadlines and budgets          6. write alerts, then deliveries

All in one transaction under one advisory lock: a second process that comes at the same time leaves,
and a process that dies has taken nothing. The number of statements is the same however many rules,
Deployments and results there are. No cluster and no Airflow is asked.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.judging import applies_in
from apps.alerts.sweeping import budgets, deadlines, incidents, results, telling
from apps.alerts.sweeping.world import World, keep, read

DEPLOYMENT_GONE = "The Deployment is being deleted, or belongs to another workspace now."
RULE_OFF = "The rule was switched off."
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.alerts'))"


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep did. `is_behind` says that more results wait: sweep again at once."""

    results: int = 0
    messages: int = 0
    is_behind: bool = False


def sweep(*, now: datetime, checks_deadlines: bool = True) -> Swept:
    """Evaluate everything once; deadlines need not be checked each time. Returns an empty `Swept`
    when another process is at it.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            row = cursor.fetchone()
        if not row or not row[0]:
            return Swept()
        return _sweep(now, checks_deadlines)


def _sweep(now: datetime, checks_deadlines: bool) -> Swept:
    world = read(now)
    taken = results.take()
    results.judge(world, taken)
    results.judge_running(world)
    incidents.follow(world)
    if checks_deadlines:
        deadlines.check(world)
        budgets.check(world)
    _close_quiet(world)
    _close_homeless(world)
    wanted = telling.tell(world)
    telling.write(world, wanted)
    is_behind = len(taken) == results.MOST_RESULTS
    return Swept(results=len(taken), messages=len(wanted), is_behind=is_behind)


def _close_quiet(world: World) -> None:
    for alert in list(world.open.values()):
        if changes.expire(alert, world.now):
            keep(world, alert)


def _close_homeless(world: World) -> None:
    """Close alerts whose rule was switched off, or does not apply to their Deployment any more."""
    for alert in list(world.open.values()):
        where = world.places.get(alert.deployment_id)
        reason = "" if alert.rule_id in world.rules else RULE_OFF
        if not reason and (where is None or not applies_in(alert.rule, where)):
            reason = DEPLOYMENT_GONE
        if reason:
            changes.close(alert, reason=reason, now=world.now)
            keep(world, alert)
