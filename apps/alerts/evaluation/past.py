"""How often a rule would have fired in the last days, from what is stored."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from apps.alerts.evaluation.deadlines import deadlines_between
from apps.alerts.evaluation.judging import Verdict, verdict_on, watches_dag
from apps.alerts.evaluation.matched import watched_deployments
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment
from apps.hibernation.asleep import Asleep, asleep_in
from apps.observability.incidents.models import Incident
from apps.observability.results.models import RunResult

DAYS, MOST_RESULTS = 7, 20_000


@dataclass(frozen=True, kw_only=True)
class Past:
    """`times` in `DAYS` days, in `places` Deployments that the rule applies to, with `dags`, of
    which `sample` is one; `slept` more deadlines passed while they hibernated. `is_cut` says that
    there were more results than are looked at; `unlisted` Deployments have not told their runs.
    """

    times: int
    places: int
    dags: int
    sample: str
    is_cut: bool
    unlisted: int
    slept: int = 0


def past_of(rule: Rule, *, seen: QuerySet[Deployment], now: datetime) -> Past:
    """Count what a rule would have found in the last week, in the Deployments that a person sees.
    At most six queries.

    `rule` need not be saved.
    """
    deployments = watched_deployments(rule, seen)
    ids = [pk for pk, _, _ in deployments]
    unlisted = sum(listed is None for _, _, listed in deployments)
    since = now - timedelta(days=DAYS)
    dags = _dags(rule, ids)
    slept = 0
    if rule.kind == RuleKind.INCIDENT:
        times, is_cut = _incidents(rule, ids, since), False
    else:
        times, slept, is_cut = _results(rule, ids, dags, since, now)
    return Past(
        times=times,
        places=len(ids),
        dags=len(dags),
        sample=min((dag for _, dag in dags), default=""),
        is_cut=is_cut,
        unlisted=unlisted,
        slept=slept,
    )


def _dags(rule: Rule, ids: list[int]) -> set[tuple[int, str]]:
    rows = DagSummary.objects.filter(deployment__in=ids)
    return {
        (pk, dag)
        for pk, dag, tags in rows.values_list("deployment", "dag_id", "tags")
        if watches_dag(rule, dag, tags)
    }


def _incidents(rule: Rule, ids: list[int], since: datetime) -> int:
    found = Incident.objects.shown().filter(deployment__in=ids, opened_at__gte=since)
    if rule.incident_kinds:
        found = found.filter(kind__in=rule.incident_kinds)
    return found.count()


def _results(
    rule: Rule, ids: list[int], dags: set[tuple[int, str]], since: datetime, now: datetime
) -> tuple[int, int, bool]:
    # A deadline at the beginning of the week looks back at what was before.
    begin = since - timedelta(hours=rule.within_hours)
    rows = RunResult.objects.filter(deployment__in=ids, ended_at__gte=begin)
    results = [
        one
        for one in rows.order_by("-ended_at")[:MOST_RESULTS]
        if (one.deployment_id, one.dag_id) in dags
    ]
    is_cut = len(results) == MOST_RESULTS
    starts = [one.started_at for one in results if one.started_at]
    asleep = asleep_in(deployment_ids=ids, since=min([begin, *starts]), now=now)
    if rule.kind == RuleKind.DAG_LATE:
        return *_missed(rule, results, dags, since, now, asleep), is_cut
    fired = (one for one in results if one.ended_at >= since)
    return sum(_fires(rule, one, asleep) for one in fired), 0, is_cut


def _fires(rule: Rule, one: RunResult, asleep: Asleep) -> bool:
    slept = asleep.seconds(one.deployment_id, one.started_at or one.ended_at, one.ended_at)
    return verdict_on(rule, one, asleep=slept) == Verdict.FIRES


def _missed(
    rule: Rule,
    results: list[RunResult],
    dags: set[tuple[int, str]],
    since: datetime,
    now: datetime,
    asleep: Asleep,
) -> tuple[int, int]:
    """Count the deadlines that were missed, and those that passed asleep."""
    if rule.due_at is None:
        return 0, 0
    good: dict[tuple[int, str], list[datetime]] = {}
    for one in results:
        if not one.task_id and not one.is_failed:
            good.setdefault((one.deployment_id, one.dag_id), []).append(one.ended_at)
    due = deadlines_between(
        due_at=rule.due_at, zone=rule.zone, weekdays=rule.weekdays, after=since, until=now
    )
    within = timedelta(hours=rule.within_hours)
    late = [
        (dag, at)
        for at in due
        for dag in dags
        if not any(at - within < end <= at for end in good.get(dag, ()))
    ]
    slept = sum(asleep.is_at(pk, at) for (pk, _), at in late)
    return len(late) - slept, slept
