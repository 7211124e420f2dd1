"""One sweep: read what was stored since the last one, change alerts, write what is to be told.

    1. take results, in the order in which they ended         4. close what nothing is heard of
    2. judge them and what runs long, by the rules            5. compose messages that are due
    3. follow incidents; check deadlines                      6. write alerts, then deliveries

All in one transaction under one advisory lock: a second process that comes at the same time leaves,
and a process that dies has taken nothing. The number of statements is the same however many rules,
Deployments and results there are. No cluster and no Airflow is asked.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.messages import compose
from apps.alerts.deliveries.models import Delivery
from apps.alerts.deliveries.outbox import GIVE_UP
from apps.alerts.evaluation import changes
from apps.alerts.evaluation.deadlines import deadlines_between, first_open
from apps.alerts.evaluation.judging import (
    Verdict,
    Where,
    applies_in,
    is_slowness,
    too_long_since,
    verdict_on,
    watches_dag,
)
from apps.alerts.evaluation.models import Alert, DeadlineCheck
from apps.alerts.evaluation.notices import Event, next_notice
from apps.alerts.evaluation.silent import silent_until
from apps.alerts.rules.kinds import Grouping, RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment, Phase
from apps.observability.history.models import Collection
from apps.observability.incidents.models import Incident
from apps.observability.results.models import RunResult

logger = logging.getLogger(__name__)

MOST_RESULTS, MOST_INCIDENTS = 5_000, 10_000
# An incident that opened and closed while nothing was evaluated is told all the same.
INCIDENT_BACK = timedelta(days=1)
# What runs is known from the last question; an older answer says nothing.
RUNNING_FRESH = timedelta(minutes=3)
DEPLOYMENT_GONE = "The Deployment is being deleted, or belongs to another workspace now."
RULE_OFF = "The rule was switched off."
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('portal.alerts'))"
_WRITTEN = (
    "subjects",
    "more",
    "count",
    "untold",
    "happened_at",
    "last_at",
    "closed_at",
    "close_reason",
    "acknowledged_by",
    "acknowledged_at",
    "told",
    "first_told_at",
    "told_at",
    "escalated_at",
    "next_at",
)
# With one alert for each DAG, those above this number share one.
MOST_GROUPS = 50
Key = tuple[int, int, str]
# A family of rules, and where they apply.
Scope = tuple[str, str, int]


RESULTS, RUNNING, LATE, INCIDENTS = "results", "running", "late", "incidents"
FAMILIES: dict[str, tuple[str, ...]] = {
    RuleKind.DAG_FAILED: (RESULTS,),
    RuleKind.TASK_FAILED: (RESULTS,),
    RuleKind.DAG_SUCCEEDED: (RESULTS,),
    RuleKind.DAG_SLOW: (RESULTS, RUNNING),
    RuleKind.TASK_SLOW: (RESULTS, RUNNING),
    RuleKind.DAG_LATE: (RESULTS, LATE),
    RuleKind.INCIDENT: (INCIDENTS,),
}


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a sweep did. `is_behind` says that more results wait: sweep again at once."""

    results: int = 0
    messages: int = 0
    is_behind: bool = False


@dataclass(kw_only=True)
class _World:
    """What a sweep reads at its start, and the alerts that it changes."""

    now: datetime
    rules: dict[int, Rule]
    places: dict[int, Where]
    by_scope: dict[Scope, list[Rule]]
    open: dict[Key, Alert]
    following: dict[int, list[Alert]] = field(default_factory=dict)
    changed: dict[int, Alert] = field(default_factory=dict)

    groups: Counter[tuple[int, int]] = field(default_factory=Counter)

    def rules_in(self, where: Where, family: str) -> Iterator[Rule]:
        for scope in (
            (family, "organization", where.organization_id),
            (family, "workspace", where.workspace_id),
            (family, "deployment", where.pk),
        ):
            for rule in self.by_scope.get(scope, ()):
                if applies_in(rule, where):
                    yield rule

    def touch(self, alert: Alert) -> None:
        self.changed[id(alert)] = alert


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
    world = _read(now)
    results = _take_results()
    _judge_results(world, results)
    _judge_running(world)
    _follow_incidents(world)
    if checks_deadlines:
        _check_deadlines(world)
    _close_quiet(world)
    _close_homeless(world)
    deliveries = _tell(world)
    _write(world, deliveries)
    is_behind = len(results) == MOST_RESULTS
    return Swept(results=len(results), messages=len(deliveries), is_behind=is_behind)


# ---------- Reading ----------


def _read(now: datetime) -> _World:
    rules = {one.pk: one for one in Rule.objects.filter(is_enabled=True)}
    rows = Deployment.objects.filter(phase=Phase.ACTIVE).values_list(
        "pk", "ref", "name", "workspace_id", "workspace__name", "workspace__organization_id"
    )
    places = {
        pk: Where(
            pk=pk,
            ref=ref,
            name=name,
            workspace_id=workspace_id,
            workspace=workspace,
            organization_id=organization_id,
        )
        for pk, ref, name, workspace_id, workspace, organization_id in rows
    }
    by_scope: dict[Scope, list[Rule]] = defaultdict(list)
    for rule in rules.values():
        for family in FAMILIES[rule.kind]:
            by_scope[(family, *_scope_of(rule))].append(rule)
    wanted = Alert.objects.filter(Q(closed_at=None) | Q(next_at__lte=now))
    alerts = list(wanted.select_related("rule__escalate_to"))
    opened = {(one.rule_id, one.deployment_id, one.group): one for one in alerts if one.is_open}
    world = _World(now=now, rules=rules, places=places, by_scope=by_scope, open=opened)
    world.groups.update((rule_id, pk) for rule_id, pk, group in opened if group)
    for alert in alerts:
        if alert.next_at is not None and alert.next_at <= now:
            world.touch(alert)
        if alert.is_open and alert.incident_id is not None:
            world.following.setdefault(alert.incident_id, []).append(alert)
    return world


def _scope_of(rule: Rule) -> tuple[str, int]:
    if rule.deployment_id is not None:
        return "deployment", rule.deployment_id
    if rule.workspace_id is not None:
        return "workspace", rule.workspace_id
    return "organization", rule.organization_id


def _take_results() -> list[RunResult]:
    """Take results that no sweep has seen, in the order of their ends."""
    waiting = RunResult.objects.filter(is_taken=False).order_by("pk")
    taken = list(waiting[:MOST_RESULTS])
    RunResult.objects.filter(pk__in=[one.pk for one in taken]).update(is_taken=True)
    return sorted(taken, key=lambda one: one.ended_at)


def _tags(world: _World, results: Iterable[RunResult]) -> dict[tuple[int, str], list[str]]:
    """Return the tags of DAGs, if a rule asks for any."""
    if not any(rule.tags for rule in world.rules.values()):
        return {}
    wanted = list(results)
    rows = DagSummary.objects.filter(
        deployment__in={one.deployment_id for one in wanted},
        dag_id__in={one.dag_id for one in wanted},
    )
    return {(pk, dag): tags for pk, dag, tags in rows.values_list("deployment", "dag_id", "tags")}


# ---------- Results ----------


def _judge_results(world: _World, results: list[RunResult]) -> None:
    tags = _tags(world, results)
    for result in results:
        where = world.places.get(result.deployment_id)
        if where is None:
            continue
        of_dag = tags.get((result.deployment_id, result.dag_id), [])
        for rule in world.rules_in(where, RESULTS):
            if watches_dag(rule, result.dag_id, of_dag):
                _apply(world, rule, result)


def _apply(world: _World, rule: Rule, result: RunResult) -> None:
    verdict = verdict_on(rule, result)
    if verdict == Verdict.FIRES and rule.begins(result.ended_at):
        _fire(
            world,
            rule,
            result.deployment_id,
            dag_id=result.dag_id,
            task_id=result.task_id,
            run_id=result.run_id,
            at=result.ended_at,
        )
    elif verdict == Verdict.CLEARS:
        _clear(world, rule, result)


def _clear(world: _World, rule: Rule, result: RunResult) -> None:
    for alert in _open_about(world, rule, result.deployment_id, result.dag_id):
        if changes.clear(
            alert,
            dag_id=result.dag_id,
            run_id=result.run_id,
            at=result.ended_at,
            now=world.now,
            is_same_run_good=not is_slowness(rule),
        ):
            _keep(world, alert)


def _open_about(world: _World, rule: Rule, deployment_id: int, dag_id: str) -> list[Alert]:
    """List the open alerts that a DAG can be part of: its own, and the one that many share."""
    keys = {(rule.pk, deployment_id, group) for group in (dag_id, "")}
    return [world.open[key] for key in keys if key in world.open]


def _fire(
    world: _World,
    rule: Rule,
    deployment_id: int,
    *,
    dag_id: str,
    task_id: str,
    run_id: str,
    at: datetime,
) -> None:
    key = _key(world, rule, deployment_id, dag_id)
    alert = world.open.get(key)
    if alert is None:
        world.groups[(rule.pk, deployment_id)] += bool(key[2])
        alert = world.open[key] = changes.begin(
            rule=rule, deployment_id=deployment_id, group=key[2], happened_at=at, now=world.now
        )
    if changes.gather(alert, dag_id=dag_id, task_id=task_id, run_id=run_id, at=at, now=world.now):
        world.touch(alert)


def _key(world: _World, rule: Rule, deployment_id: int, dag_id: str) -> Key:
    own, shared = (rule.pk, deployment_id, dag_id), (rule.pk, deployment_id, "")
    if rule.grouping != Grouping.DAG:
        return shared
    is_full = world.groups[(rule.pk, deployment_id)] >= MOST_GROUPS
    return shared if is_full and own not in world.open else own


def _keep(world: _World, alert: Alert) -> None:
    """Note a change; an alert that closed makes room for the next one of its group."""
    world.touch(alert)
    key = (alert.rule_id, alert.deployment_id, alert.group)
    if not alert.is_open and world.open.get(key) is alert:
        del world.open[key]


def _judge_running(world: _World) -> None:
    """Tell of what runs too long while it still runs."""
    slow = [rule for rule in world.rules.values() if is_slowness(rule)]
    if not slow:
        return
    rows = Collection.objects.exclude(running=[]).filter(answered_at__gte=world.now - RUNNING_FRESH)
    running = list(rows.values_list("deployment_id", "running"))
    tags = _running_tags(world, running)
    for deployment_id, found in running:
        where = world.places.get(deployment_id)
        for rule in world.rules_in(where, RUNNING) if where is not None else ():
            _judge_long(world, rule, deployment_id, found, tags)


def _running_tags(
    world: _World, running: list[tuple[int, list[list[object]]]]
) -> dict[tuple[int, str], list[str]]:
    known = [
        RunResult(deployment_id=pk, dag_id=str(one[0])) for pk, found in running for one in found
    ]
    return _tags(world, known)


def _judge_long(
    world: _World,
    rule: Rule,
    deployment_id: int,
    running: list[list[object]],
    tags: dict[tuple[int, str], list[str]],
) -> None:
    for dag_id, run_id, task_id, started in running:
        dag, task, start = str(dag_id), str(task_id), int(str(started))
        if not watches_dag(rule, dag, tags.get((deployment_id, dag), [])):
            continue
        if too_long_since(rule, task_id=task, started=start, now=world.now):
            _fire(
                world,
                rule,
                deployment_id,
                dag_id=dag,
                task_id=task,
                run_id=str(run_id),
                at=world.now,
            )


# ---------- Incidents ----------


def _follow_incidents(world: _World) -> None:
    rules = [one for one in world.rules.values() if one.kind == RuleKind.INCIDENT]
    if not rules and not world.following:
        return
    recent = Q(closed_at=None) | Q(closed_at__gte=world.now - INCIDENT_BACK)
    found = Incident.objects.shown().filter(recent | Q(pk__in=list(world.following)))
    incidents = list(found.order_by("opened_at")[:MOST_INCIDENTS])
    told = Alert.objects.filter(incident__in=incidents).values_list("rule_id", "incident_id")
    known = set(told)
    for incident in incidents:
        for alert in world.following.get(incident.pk, ()):
            if changes.follow(alert, incident, world.now):
                _keep(world, alert)
        where = world.places.get(incident.deployment_id)
        for rule in world.rules_in(where, INCIDENTS) if where is not None else ():
            if (rule.pk, incident.pk) not in known and _wants(rule, incident, world.now):
                _begin_incident(world, rule, incident)


def _wants(rule: Rule, incident: Incident, now: datetime) -> bool:
    if incident.opened_at is None:
        return False
    if rule.incident_kinds and incident.kind not in rule.incident_kinds:
        return False
    return rule.begins(incident.opened_at) and not incident.is_silenced(now)


def _begin_incident(world: _World, rule: Rule, incident: Incident) -> None:
    began = incident.opened_at or world.now
    group = f"incident:{incident.pk}"
    alert = changes.begin(
        rule=rule,
        deployment_id=incident.deployment_id,
        group=group,
        happened_at=began,
        now=world.now,
    )
    alert.incident = incident
    changes.gather(alert, dag_id=incident.number, task_id="", run_id="", at=began, now=world.now)
    words = {"title": incident.title, "summary": incident.summary}
    alert.subjects[incident.number].update(words)
    world.open[(rule.pk, incident.deployment_id, group)] = alert
    changes.follow(alert, incident, world.now)
    _keep(world, alert)


# ---------- Deadlines ----------


def _check_deadlines(world: _World) -> None:
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
    due = [
        (rule, where, at)
        for where in world.places.values()
        if where.pk in listed
        for rule in world.rules_in(where, LATE)
        for at in _deadlines(rule, min(listed[where.pk], world.now), world.now)
        if (rule.pk, where.pk, at) not in done
    ]
    _judge_deadlines(world, due)
    DeadlineCheck.objects.bulk_create(
        [DeadlineCheck(rule=rule, deployment_id=where.pk, due_at=at) for rule, where, at in due],
        ignore_conflicts=True,
    )


def _deadlines(rule: Rule, until: datetime, now: datetime) -> Iterator[datetime]:
    assert rule.due_at is not None  # noqa: S101 - a constraint
    return deadlines_between(
        due_at=rule.due_at,
        zone=rule.zone,
        weekdays=rule.weekdays,
        after=first_open(since=rule.since, now=now),
        until=until,
    )


def _judge_deadlines(world: _World, due: list[tuple[Rule, Where, datetime]]) -> None:
    ids = {where.pk for _, where, _ in due}
    dags: dict[int, list[tuple[str, list[str]]]] = defaultdict(list)
    for pk, dag, tags in DagSummary.objects.filter(deployment__in=ids, is_paused=False).values_list(
        "deployment", "dag_id", "tags"
    ):
        dags[pk].append((dag, tags))
    earliest = min((at - timedelta(hours=rule.within_hours) for rule, _, at in due), default=None)
    good: dict[tuple[int, str], list[datetime]] = defaultdict(list)
    rows = RunResult.objects.filter(
        deployment__in=ids, task_id="", is_failed=False, ended_at__gt=earliest or world.now
    )
    for pk, dag, ended in rows.values_list("deployment", "dag_id", "ended_at"):
        good[(pk, dag)].append(ended)
    for rule, where, at in due:
        begin = at - timedelta(hours=rule.within_hours)
        for dag, tags in dags[where.pk]:
            if not watches_dag(rule, dag, tags):
                continue
            ends = good[(where.pk, dag)]
            if any(begin < end <= at for end in ends):
                continue
            _fire(
                world,
                rule,
                where.pk,
                dag_id=dag,
                task_id="",
                run_id=f"deadline {at:%Y-%m-%d %H:%M} UTC",
                at=at,
            )
            _clear_late(world, rule, where.pk, dag, [end for end in ends if end > at])


def _clear_late(
    world: _World, rule: Rule, deployment_id: int, dag: str, ends: list[datetime]
) -> None:
    """Note that a DAG succeeded after its deadline, before that was checked."""
    for alert in _open_about(world, rule, deployment_id, dag) if ends else ():
        if changes.clear(
            alert, dag_id=dag, run_id="", at=max(ends), now=world.now, is_same_run_good=True
        ):
            _keep(world, alert)


# ---------- Ends ----------


def _close_quiet(world: _World) -> None:
    for alert in list(world.open.values()):
        if changes.expire(alert, world.now):
            _keep(world, alert)


def _close_homeless(world: _World) -> None:
    """Close alerts whose rule was switched off, or does not apply to their Deployment any more."""
    for alert in list(world.open.values()):
        where = world.places.get(alert.deployment_id)
        reason = "" if alert.rule_id in world.rules else RULE_OFF
        if not reason and (where is None or not applies_in(alert.rule, where)):
            reason = DEPLOYMENT_GONE
        if reason:
            changes.close(alert, reason=reason, now=world.now)
            _keep(world, alert)


# ---------- Telling ----------


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A message to write, once its alert has a number."""

    alert: Alert
    event: Event
    where: Where
    channels: list[Channel]


def _tell(world: _World) -> list[_Wanted]:
    """Decide what is to be told about the alerts that changed or are due."""
    if not world.changed:
        return []
    silences = list(
        Silence.objects.filter(ended_at=None, begins_at__lte=world.now).filter(
            Q(ends_at__gt=world.now) | ~Q(weekdays=[])
        )
    )
    channels = _channels(world)
    wanted = []
    for alert in world.changed.values():
        where = world.places.get(alert.deployment_id) or _former(alert)
        dags = {str(one["dag"]) for one in alert.subjects.values()} if not alert.incident_id else ()
        until = silent_until(silences, where=where, dags=dags, now=world.now)
        event = next_notice(alert, silent_until=until, now=world.now)
        if event is None:
            continue
        told = _receivers(alert, event, channels.get(alert.rule_id, []))
        wanted.append(_Wanted(alert=alert, event=event, where=where, channels=told))
    return wanted


def _former(alert: Alert) -> Where:
    """Return what is known of a Deployment that is not there any more."""
    rule = alert.rule
    return Where(
        pk=alert.deployment_id,
        ref="",
        name="a deleted Deployment",
        workspace_id=rule.workspace_id or 0,
        workspace="",
        organization_id=rule.organization_id,
    )


def _channels(world: _World) -> dict[int, list[Channel]]:
    rules = {alert.rule_id for alert in world.changed.values()}
    through = Rule.channels.through.objects.filter(rule__in=rules).select_related("channel")
    found: dict[int, list[Channel]] = defaultdict(list)
    for one in through:
        found[one.rule_id].append(one.channel)
    return found


def _receivers(alert: Alert, event: Event, channels: list[Channel]) -> list[Channel]:
    """Return the channels of a message. Those with alerts of their own are told of every end."""
    second = alert.rule.escalate_to if alert.escalated_at else None
    if event == Event.ESCALATED:
        return [second] if second else []
    if event != Event.RESOLVED:
        return channels
    told = [*channels, second] if second and second not in channels else channels
    return [one for one in told if alert.rule.tells_resolved or one.needs.tracks]


def _write(world: _World, wanted: list[_Wanted]) -> None:
    new = [one for one in world.changed.values() if one.pk is None]
    old = [one for one in world.changed.values() if one.pk is not None]
    if old:
        # One statement, where bulk_update would write a CASE for each row and column.
        Alert.objects.bulk_create(
            old, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
        )
    if new:
        Alert.objects.bulk_create(new)
    Delivery.objects.bulk_create(
        [row for one in wanted for row in _deliveries(one, world.now)], ignore_conflicts=True
    )


def _deliveries(wanted: _Wanted, now: datetime) -> Iterator[Delivery]:
    alert = wanted.alert
    message = compose(
        alert,
        event=wanted.event,
        where=wanted.where,
        url=_address_of(alert, wanted.where),
        key=f"{settings.PORTAL_URL}/alerts/{alert.pk}",
        now=now,
    )
    for channel in wanted.channels:
        yield Delivery(
            channel=channel,
            alert=alert,
            # An escalation is no message of the count: it gets a number of its own.
            number=alert.told if wanted.event != Event.ESCALATED else 1_000_000,
            event=wanted.event,
            message=message.as_json(),
            created_at=now,
            next_at=now,
            give_up_at=now + GIVE_UP,
        )


def _address_of(alert: Alert, where: Where) -> str:
    """Return the page of an alert. To reverse it would load every view into this process."""
    if not where.ref:
        return str(settings.PORTAL_URL)
    return f"{settings.PORTAL_URL}/d/{where.ref}/alerts/{alert.pk}/"
