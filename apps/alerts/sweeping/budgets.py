"""DAGs that spent their error budgets: told while that is so, once for each time it happens."""

from datetime import timedelta

from apps.alerts.evaluation import changes
from apps.alerts.evaluation.judging import watches_dag
from apps.alerts.evaluation.models import Alert
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.alerts.sweeping.world import BUDGETS, World, fire, keep, open_about
from apps.dags.models import DagSummary
from apps.objectives.queries import spent_in

HEARD_EVERY = timedelta(days=1)


def check(world: World) -> None:
    rules = [one for one in world.rules.values() if one.kind == RuleKind.BUDGET_SPENT]
    if not rules:
        return
    spent = spent_in(deployment_ids=world.places, now=world.now)
    tags = _tags(rules)
    for (deployment_id, dag), is_spent in spent.items():
        for rule in world.rules_in(world.places[deployment_id], BUDGETS):
            if not watches_dag(rule, dag, tags.get((deployment_id, dag), [])):
                continue
            if is_spent:
                _tell(world, rule, deployment_id, dag)
            else:
                _clear(world, rule, deployment_id, dag)


def _tags(rules: list[Rule]) -> dict[tuple[int, str], list[str]]:
    if not any(rule.tags for rule in rules):
        return {}
    rows = DagSummary.objects.exclude(tags=[])
    return {(pk, dag): tags for pk, dag, tags in rows.values_list("deployment", "dag_id", "tags")}


def _tell(world: World, rule: Rule, deployment_id: int, dag: str) -> None:
    for alert in open_about(world, rule, deployment_id, dag):
        if any(one["dag"] == dag for one in alert.subjects.values()):
            _hear_of(world, alert)
            return
    fire(world, rule, deployment_id, dag_id=dag, task_id="", run_id="", at=world.now)


def _hear_of(world: World, alert: Alert) -> None:
    """Keep an alert from closing as one of which nothing is heard."""
    if world.now - alert.last_at > HEARD_EVERY:
        alert.last_at = world.now
        world.touch(alert)


def _clear(world: World, rule: Rule, deployment_id: int, dag: str) -> None:
    for alert in open_about(world, rule, deployment_id, dag):
        if changes.clear(
            alert, dag_id=dag, run_id="", at=world.now, now=world.now, is_same_run_good=True
        ):
            keep(world, alert)
