"""Deadlines to come, for whoever is about to put a Deployment to sleep."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Q

from apps.alerts.evaluation.deadlines import deadlines_between
from apps.alerts.evaluation.judging import watches_dag
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.matching import matches
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment
from apps.hibernation.asleep import DEADLINE_SOURCES, Deadline


def connect() -> None:
    DEADLINE_SOURCES.append(deadlines_of)


def deadlines_of(deployment: Deployment, begin: datetime, end: datetime) -> Iterator[Deadline]:
    """Yield the deadlines of a Deployment between two moments, for rules that are on and watch a
    DAG of it that is not paused. Two queries.
    """
    rules = [one for one in _rules(deployment) if _applies(one, deployment)]
    if not rules:
        return
    dags = list(
        DagSummary.objects.filter(deployment=deployment, is_paused=False).values_list(
            "dag_id", "tags"
        )
    )
    for rule in rules:
        watched = sum(watches_dag(rule, dag, tags) for dag, tags in dags)
        if not watched or rule.due_at is None:
            continue
        moments = deadlines_between(
            due_at=rule.due_at, zone=rule.zone, weekdays=rule.weekdays, after=begin, until=end
        )
        for at in moments:
            yield Deadline(at=at, rule=rule.name, dags=watched)


def _rules(deployment: Deployment) -> Iterator[Rule]:
    workspace = deployment.workspace
    here = Q(workspace=None) | Q(workspace=workspace)
    rows = Rule.objects.filter(
        here, organization=workspace.organization_id, kind=RuleKind.DAG_LATE, is_enabled=True
    )
    return rows.iterator()


def _applies(rule: Rule, deployment: Deployment) -> bool:
    if rule.deployment_id is not None:
        return rule.deployment_id == deployment.pk
    return matches(rule.deployments, deployment.name)
