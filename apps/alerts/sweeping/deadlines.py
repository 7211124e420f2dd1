"""DAGs that had to succeed by a time of day.

A deadline that passes while its Deployment hibernates is none: that was planned, and said before.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.deadlines import deadlines_between, first_open
from apps.alerts.evaluation.judging import Where, watches_dag
from apps.alerts.evaluation.models import DeadlineCheck
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.world import LATE, World, fire, keep, open_about
from apps.core.words import duration_in_words
from apps.dags.models import DagSummary
from apps.hibernation.asleep import asleep_in
from apps.observability.history.models import Collection
from apps.observability.results.models import RunResult


def check(world: World) -> None:
    rules = [one for one in world.rules.values() if one.kind == RuleKind.DAG_LATE]
    if not rules:
        return
    listed: dict[int, Any] = dict(
        Collection.objects.exclude(listed_until=None).values_list("deployment_id", "listed_until")
    )
    since = first_open(since=min(one.since for one in rules), now=world.now)
    done = set(
        DeadlineCheck.objects.filter(due_at__gte=since).values_list(
            "rule_id", "deployment_id", "due_at"
        )
    )
    passed = {rule.pk: list(_deadlines(rule, world.now)) for rule in rules}
    due = [
        (rule, where, at)
        for where in world.places.values()
        if where.pk in listed
        for rule in world.rules_in(where, LATE)
        for at in passed[rule.pk]
        if at <= listed[where.pk] and (rule.pk, where.pk, at) not in done
    ]
    _judge_deadlines(world, due)
    DeadlineCheck.objects.bulk_create(
        [DeadlineCheck(rule=rule, deployment_id=where.pk, due_at=at) for rule, where, at in due],
        ignore_conflicts=True,
    )


def _deadlines(rule: Rule, now: datetime) -> Iterator[datetime]:
    assert rule.due_at is not None  # noqa: S101 - a constraint
    return deadlines_between(
        due_at=rule.due_at,
        zone=rule.zone,
        weekdays=rule.weekdays,
        after=first_open(since=rule.since, now=now),
        until=now,
    )


def _judge_deadlines(world: World, due: list[tuple[Rule, Where, datetime]]) -> None:
    if not due:
        return
    ids = {where.pk for _, where, _ in due}
    earliest = min(at - timedelta(hours=rule.within_hours) for rule, _, at in due)
    asleep = asleep_in(deployment_ids=ids, since=earliest, now=world.now)
    dags: dict[int, list[tuple[str, list[str]]]] = defaultdict(list)
    for pk, dag, tags in DagSummary.objects.filter(deployment__in=ids, is_paused=False).values_list(
        "deployment", "dag_id", "tags"
    ):
        dags[pk].append((dag, tags))
    good: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    rows = RunResult.objects.filter(
        deployment__in=ids, task_id="", is_failed=False, ended_at__gt=earliest
    )
    for pk, dag, ended in rows.values_list("deployment", "dag_id", "ended_at"):
        good[(pk, dag)].append(ended)
    for rule, where, at in due:
        if asleep.is_at(where.pk, at):
            continue
        begin = at - timedelta(hours=rule.within_hours)
        note = _note(asleep.seconds(where.pk, begin, at))
        for dag, tags in dags[where.pk]:
            if not watches_dag(rule, dag, tags):
                continue
            ends = good[(where.pk, dag)]
            if any(begin < end <= at for end in ends):
                continue
            fire(
                world,
                rule,
                where.pk,
                dag_id=dag,
                task_id="",
                run_id=f"deadline {at:%Y-%m-%d %H:%M} UTC",
                at=at,
                note=note,
            )
            _clear_late(world, rule, where.pk, dag, [end for end in ends if end > at])


def _note(slept: float) -> str:
    return f"The Deployment hibernated for {duration_in_words(slept)} before it." if slept else ""


def _clear_late(
    world: World, rule: Rule, deployment_id: int, dag: str, ends: list[datetime]
) -> None:
    """Note that a DAG succeeded after its deadline, before that was checked."""
    for alert in open_about(world, rule, deployment_id, dag) if ends else ():
        if changes.clear(
            alert, dag_id=dag, run_id="", at=max(ends), now=world.now, is_same_run_good=True
        ):
            keep(world, alert)
