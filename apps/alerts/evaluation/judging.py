"""What the end of a run or a task means for a rule. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from apps.alerts.rules.kinds import ABOUT, RuleKind
from apps.alerts.rules.matching import is_excluded, matches, matches_any
from apps.alerts.rules.models import Rule
from apps.observability.results.models import RunResult


class Verdict(Enum):
    """Something to tell, or the end of what was told."""

    FIRES = "fires"
    CLEARS = "clears"


@dataclass(frozen=True, kw_only=True)
class Where:
    """A Deployment as rules match it."""

    pk: int
    ref: str
    name: str
    workspace_id: int
    workspace: str
    organization_id: int


def applies_in(rule: Rule, where: Where) -> bool:
    """Return whether a rule is about a Deployment: one that moved away is none of its place."""
    if rule.organization_id != where.organization_id:
        return False
    if rule.workspace_id is not None and rule.workspace_id != where.workspace_id:
        return False
    if rule.deployment_id is not None:
        return rule.deployment_id == where.pk
    return matches(rule.deployments, where.name)


def watches_dag(rule: Rule, dag_id: str, tags: list[str]) -> bool:
    """Return whether a rule is about a DAG."""
    if is_excluded(rule.without_dags, dag_id) or not matches(rule.dags, dag_id):
        return False
    return matches_any(rule.tags, tags)


def verdict_on(rule: Rule, result: RunResult, *, asleep: float = 0) -> Verdict | None:
    """Judge a result of a DAG that the rule watches; None where it says nothing about it. `asleep`
    are the seconds of it in which its Deployment hibernated: they are no time that it took.
    """
    about = ABOUT[rule.kind]
    if rule.kind == RuleKind.BUDGET_SPENT:
        # One run says nothing about a budget of weeks.
        return None
    seconds = None if result.seconds is None else result.seconds - asleep
    if not result.task_id:
        return _on_run(rule, result, seconds)
    if not about.has_tasks or not matches(rule.tasks, result.task_id):
        return None
    if rule.kind == RuleKind.TASK_FAILED:
        return Verdict.FIRES if result.is_failed else None
    return _on_length(rule, seconds)


def _on_run(rule: Rule, result: RunResult, seconds: float | None) -> Verdict | None:
    if rule.kind == RuleKind.DAG_SLOW:
        return _on_length(rule, seconds)
    if rule.kind == RuleKind.DAG_FAILED and result.is_failed:
        return Verdict.FIRES
    if result.is_failed:
        return None
    return Verdict.FIRES if rule.kind == RuleKind.DAG_SUCCEEDED else Verdict.CLEARS


def _on_length(rule: Rule, seconds: float | None) -> Verdict | None:
    if seconds is None or rule.limit_seconds is None:
        return None
    return Verdict.FIRES if seconds > rule.limit_seconds else Verdict.CLEARS


def too_long_since(
    rule: Rule, *, task_id: str, started: int, now: datetime, asleep: float = 0
) -> bool:
    """Return whether a run (without `task_id`) or a task that still runs is over a rule's limit.
    `started` are seconds since 1970, `asleep` those in which its Deployment hibernated.
    """
    if rule.limit_seconds is None or bool(task_id) != ABOUT[rule.kind].has_tasks:
        return False
    if task_id and not matches(rule.tasks, task_id):
        return False
    return now.timestamp() - started - asleep > rule.limit_seconds


def is_slowness(rule: Rule) -> bool:
    """Return whether the end of the same run is no good news: it was slow all the same."""
    return rule.kind in (RuleKind.DAG_SLOW, RuleKind.TASK_SLOW)
