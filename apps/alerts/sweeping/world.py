"""What a sweep reads at its start, and how its parts change alerts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.judging import Where, applies_in
from apps.alerts.evaluation.models import Alert
from apps.alerts.rules.kinds import Grouping, RuleKind
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment, Phase
from apps.observability.results.models import RunResult

# With one alert for each DAG, those above this number share one.
MOST_GROUPS = 50
Key = tuple[int, int, str]
# A family of rules, and where they apply.
Scope = tuple[str, str, int]

# By what makes their rules fire: the end of a run, good or bad, or of a task; and so on.
GOOD_RUN, FAILED_RUN, TASK, RUNNING = "good run", "failed run", "task", "running"
LATE, BUDGETS, INCIDENTS = "late", "budgets", "incidents"
FAMILIES: dict[str, tuple[str, ...]] = {
    RuleKind.DAG_FAILED: (FAILED_RUN,),
    RuleKind.TASK_FAILED: (TASK,),
    RuleKind.DAG_SUCCEEDED: (GOOD_RUN,),
    RuleKind.DAG_SLOW: (GOOD_RUN, FAILED_RUN, RUNNING),
    RuleKind.TASK_SLOW: (TASK, RUNNING),
    RuleKind.DAG_LATE: (LATE,),
    RuleKind.BUDGET_SPENT: (BUDGETS,),
    RuleKind.INCIDENT: (INCIDENTS,),
}


@dataclass(kw_only=True)
class World:
    """What a sweep reads at its start, and the alerts that it changes."""

    now: datetime
    rules: dict[int, Rule]
    places: dict[int, Where]
    by_scope: dict[Scope, list[Rule]]
    open: dict[Key, Alert]
    following: dict[int, list[Alert]] = field(default_factory=dict)
    changed: dict[int, Alert] = field(default_factory=dict)

    # The rules of which an alert is open in a Deployment, or was when the sweep began.
    alarmed: dict[int, dict[int, Rule]] = field(default_factory=dict)
    groups: Counter[tuple[int, int]] = field(default_factory=Counter)
    found: dict[tuple[int, str], list[Rule]] = field(default_factory=dict)

    def rules_in(self, where: Where, family: str) -> list[Rule]:
        """List the rules of a family that apply in a Deployment: found once, asked often."""
        key = (where.pk, family)
        if key not in self.found:
            self.found[key] = list(self._find_rules(where, family))
        return self.found[key]

    def _find_rules(self, where: Where, family: str) -> Iterator[Rule]:
        for scope in (
            (family, "organization", where.organization_id),
            (family, "workspace", where.workspace_id),
            (family, "deployment", where.pk),
        ):
            for rule in self.by_scope.get(scope, ()):
                if applies_in(rule, where):
                    yield rule

    def alarm(self, rule: Rule, deployment_id: int) -> None:
        self.alarmed.setdefault(deployment_id, {})[rule.pk] = rule

    def touch(self, alert: Alert) -> None:
        self.changed[id(alert)] = alert


def read(now: datetime) -> World:
    enabled = Rule.objects.filter(is_enabled=True).select_related("escalate_to")
    rules = {one.pk: one for one in enabled}
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
    alerts = _with_rules(list(wanted), rules)
    opened = {(one.rule_id, one.deployment_id, one.group): one for one in alerts if one.is_open}
    world = World(now=now, rules=rules, places=places, by_scope=by_scope, open=opened)
    world.groups.update((rule_id, pk) for rule_id, pk, group in opened if group)
    for alert in alerts:
        if alert.next_at is not None and alert.next_at <= now:
            world.touch(alert)
        if alert.is_open:
            _note_open(world, alert)
    return world


def _note_open(world: World, alert: Alert) -> None:
    if alert.incident_id is not None:
        world.following.setdefault(alert.incident_id, []).append(alert)
        return
    where = world.places.get(alert.deployment_id)
    if where is not None and alert.rule_id in world.rules and applies_in(alert.rule, where):
        world.alarm(alert.rule, where.pk)


def _with_rules(alerts: list[Alert], rules: dict[int, Rule]) -> list[Alert]:
    """Give alerts their rules, one object for all alerts of a rule: a join would build thousands.
    Those that were switched off are read when there are any.
    """
    off = {one.rule_id for one in alerts} - rules.keys()
    more = Rule.objects.select_related("escalate_to").in_bulk(off) if off else {}
    for alert in alerts:
        alert.rule = rules.get(alert.rule_id) or more[alert.rule_id]
    return alerts


def _scope_of(rule: Rule) -> tuple[str, int]:
    if rule.deployment_id is not None:
        return "deployment", rule.deployment_id
    if rule.workspace_id is not None:
        return "workspace", rule.workspace_id
    return "organization", rule.organization_id


def tags_of(world: World, results: Iterable[RunResult]) -> dict[tuple[int, str], list[str]]:
    """Return the tags of DAGs, if a rule asks for any."""
    if not any(rule.tags for rule in world.rules.values()):
        return {}
    wanted = list(results)
    rows = DagSummary.objects.filter(
        deployment__in={one.deployment_id for one in wanted},
        dag_id__in={one.dag_id for one in wanted},
    ).exclude(tags=[])
    return {(pk, dag): tags for pk, dag, tags in rows.values_list("deployment", "dag_id", "tags")}


def fire(
    world: World,
    rule: Rule,
    deployment_id: int,
    *,
    dag_id: str,
    task_id: str,
    run_id: str,
    at: datetime,
    note: str = "",
) -> None:
    key = _key(world, rule, deployment_id, dag_id)
    alert = world.open.get(key)
    if alert is None:
        world.groups[(rule.pk, deployment_id)] += bool(key[2])
        alert = world.open[key] = changes.begin(
            rule=rule, deployment_id=deployment_id, group=key[2], happened_at=at, now=world.now
        )
        world.alarm(rule, deployment_id)
    is_news = changes.gather(
        alert, dag_id=dag_id, task_id=task_id, run_id=run_id, at=at, now=world.now, note=note
    )
    if is_news:
        world.touch(alert)


def _key(world: World, rule: Rule, deployment_id: int, dag_id: str) -> Key:
    own, shared = (rule.pk, deployment_id, dag_id), (rule.pk, deployment_id, "")
    if rule.grouping != Grouping.DAG:
        return shared
    is_full = world.groups[(rule.pk, deployment_id)] >= MOST_GROUPS
    return shared if is_full and own not in world.open else own


def open_about(world: World, rule: Rule, deployment_id: int, dag_id: str) -> list[Alert]:
    """List the open alerts that a DAG can be part of: its own, and the one that many share."""
    keys = {(rule.pk, deployment_id, group) for group in (dag_id, "")}
    return [world.open[key] for key in keys if key in world.open]


def keep(world: World, alert: Alert) -> None:
    """Note a change; an alert that closed makes room for the next one of its group."""
    world.touch(alert)
    key = (alert.rule_id, alert.deployment_id, alert.group)
    if not alert.is_open and world.open.get(key) is alert:
        del world.open[key]
