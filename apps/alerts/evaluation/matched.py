"""What a rule is about now: Deployments and DAGs that match it, as far as a person sees them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from apps.alerts.evaluation.judging import watches_dag
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.matching import matches
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment, Phase

MOST_DAGS, MOST_NAMES = 10_000, 6


@dataclass(frozen=True, kw_only=True)
class Matched:
    """`dags` of `known` DAGs in `deployments` Deployments match, `paused` of them are paused.
    `names` are the first of `different` names, of Deployments where a rule is about no DAGs.
    `is_cut` says that there are more DAGs than are looked at.
    """

    deployments: int
    dags: int = 0
    known: int = 0
    paused: int = 0
    names: tuple[str, ...] = ()
    different: int = 0
    is_cut: bool = False

    @property
    def more(self) -> int:
        return self.different - len(self.names)


def matched_by(rule: Rule, *, seen: QuerySet[Deployment]) -> Matched:
    """Count what a rule matches among the Deployments that a person sees: two queries. `rule` need
    not be saved.
    """
    places = watched_deployments(rule, seen)
    if rule.kind == RuleKind.INCIDENT:
        found = sorted({name for _, name, _ in places})
        return Matched(
            deployments=len(places), names=tuple(found[:MOST_NAMES]), different=len(found)
        )
    rows = DagSummary.objects.filter(deployment__in=[pk for pk, _, _ in places])
    ordered = rows.order_by("dag_id", "deployment").values_list("dag_id", "tags", "is_paused")
    known = list(ordered[: MOST_DAGS + 1])
    is_cut, known = len(known) > MOST_DAGS, known[:MOST_DAGS]
    dags = [(dag, is_paused) for dag, tags, is_paused in known if watches_dag(rule, dag, tags)]
    names = tuple(dict.fromkeys(dag for dag, _ in dags))
    return Matched(
        deployments=len(places),
        dags=len(dags),
        known=len(known),
        paused=sum(is_paused for _, is_paused in dags),
        names=names[:MOST_NAMES],
        different=len(names),
        is_cut=is_cut,
    )


def watched_deployments(
    rule: Rule, seen: QuerySet[Deployment]
) -> list[tuple[int, str, datetime | None]]:
    """List the Deployments that a rule applies to among those that a person sees: id, name, and
    until when their runs are listed.
    """
    inside = Q(workspace__organization=rule.organization)
    if rule.workspace_id is not None:
        inside &= Q(workspace=rule.workspace_id)
    if rule.deployment_id is not None:
        inside &= Q(pk=rule.deployment_id)
    rows = seen.filter(inside, phase=Phase.ACTIVE)
    found = rows.values_list("pk", "name", "collection__listed_until")
    is_named = rule.deployment_id is not None
    return [one for one in found if is_named or matches(rule.deployments, one[1])]
