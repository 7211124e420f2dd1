"""What a rule is about now: Deployments and DAGs that match it, as far as a person sees them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q, QuerySet

from apps.alerts.evaluation.judging import watches_dag
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.matching import matches
from apps.alerts.rules.models import Rule
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment, Phase

MOST_DAGS, MOST_NAMES = 10_000, 6
# Rules of a list x DAGs: at most about a fifth of a second of one core.
MOST_CHECKS = 100_000


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
    return matched_by_each([rule], seen=seen)[0]


def matched_by_each(rules: Sequence[Rule], *, seen: QuerySet[Deployment]) -> list[Matched]:
    """Count what each rule matches, in their order: two queries for all. The more rules there are,
    the fewer DAGs are looked at.
    """
    deployments = _deployments_of(rules, seen)
    places = [_watched(rule, deployments) for rule in rules]
    of_dags = {
        one.pk
        for rule, here in zip(rules, places, strict=True)
        if rule.kind != RuleKind.INCIDENT
        for one in here
    }
    most = min(MOST_DAGS, MOST_CHECKS // len(rules)) if rules else 0
    known = _dags_of(of_dags, most + 1) if of_dags else []
    is_cut = len(known) > most
    return [
        _matched(rule, here, known[:most], is_cut) for rule, here in zip(rules, places, strict=True)
    ]


def watched_deployments(
    rule: Rule, seen: QuerySet[Deployment]
) -> list[tuple[int, str, datetime | None]]:
    """List the Deployments that a rule applies to among those that a person sees: id, name, and
    until when their runs are listed.
    """
    found = _watched(rule, _deployments_of([rule], seen))
    return [(one.pk, one.name, one.listed_until) for one in found]


class _Place(NamedTuple):
    """A Deployment that a rule may be about."""

    pk: int
    name: str
    listed_until: datetime | None
    workspace_id: int
    organization_id: int


class _Dag(NamedTuple):
    dag_id: str
    tags: list[str]
    is_paused: bool
    deployment_id: int


def _deployments_of(rules: Sequence[Rule], seen: QuerySet[Deployment]) -> list[_Place]:
    inside = (
        Q(pk__in={one.deployment_id for one in rules if one.deployment_id})
        | Q(workspace__in={one.workspace_id for one in rules if not one.deployment_id})
        | Q(workspace__organization__in={one.organization_id for one in rules if _is_wide(one)})
    )
    rows = seen.filter(inside, phase=Phase.ACTIVE)
    fields = ("pk", "name", "collection__listed_until", "workspace", "workspace__organization")
    return [_Place(*one) for one in rows.values_list(*fields)]


def _is_wide(rule: Rule) -> bool:
    return rule.workspace_id is None and rule.deployment_id is None


def _watched(rule: Rule, among: Iterable[_Place]) -> list[_Place]:
    return [
        one
        for one in among
        if rule.organization_id == one.organization_id
        and rule.workspace_id in (None, one.workspace_id)
        and rule.deployment_id in (None, one.pk)
        and (rule.deployment_id is not None or matches(rule.deployments, one.name))
    ]


def _dags_of(deployments: Collection[int], most: int) -> list[_Dag]:
    rows = DagSummary.objects.filter(deployment__in=deployments).order_by("dag_id", "deployment")
    return [
        _Dag(*one) for one in rows.values_list("dag_id", "tags", "is_paused", "deployment")[:most]
    ]


def _matched(rule: Rule, places: list[_Place], known: list[_Dag], is_cut: bool) -> Matched:
    if rule.kind == RuleKind.INCIDENT:
        names = sorted({one.name for one in places})
        return Matched(
            deployments=len(places), names=tuple(names[:MOST_NAMES]), different=len(names)
        )
    inside = {one.pk for one in places}
    here = [one for one in known if one.deployment_id in inside]
    dags = [one for one in here if watches_dag(rule, one.dag_id, one.tags)]
    names = list(dict.fromkeys(one.dag_id for one in dags))
    return Matched(
        deployments=len(places),
        dags=len(dags),
        known=len(here),
        paused=sum(one.is_paused for one in dags),
        names=tuple(names[:MOST_NAMES]),
        different=len(names),
        is_cut=is_cut,
    )
