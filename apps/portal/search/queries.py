"""Search over everything a person may see. Each kind is one query.

An exact name comes first, then names that begin with the text, names with a word that does, other
names, and last those that mention it elsewhere. Among equals, what was opened last comes first.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, IntegerField, Model, Q, QuerySet, Value, When
from django.db.models.functions import Lower
from django.urls import reverse

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.dags.models import DagState, DagSummary
from apps.deployments.badge import display_status
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization, OrganizationGrant, Team, Workspace

ELSEWHERE = 4
LAST = 1_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is searched for, by whom, and what this person opened last, by kind."""

    text: str
    user: User
    recent: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """One line of the results: what it is called, where it is, and what else helps to know it."""

    name: str
    url: str
    place: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be found, by the key that stands in addresses."""

    key: str
    label: str
    icon: str
    find: Callable[[Asked], QuerySet[Any]]
    hit_of: Callable[[Any], Hit]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The best hits of a kind, and whether there are more."""

    kind: Kind
    hits: list[Hit]
    has_more: bool


def search(*, asked: Asked, limit: int) -> list[Hits]:
    """Return the best hits of every kind that has some. Seven queries."""
    found = []
    for kind in KINDS.values():
        rows = list(kind.find(asked)[: limit + 1])
        if rows:
            hits = [kind.hit_of(row) for row in rows[:limit]]
            found.append(Hits(kind=kind, hits=hits, has_more=len(rows) > limit))
    return found


def _ranked(
    rows: QuerySet[Any],
    asked: Asked,
    *,
    names: Sequence[str],
    mentions: Sequence[str] = (),
    opened: str = "",
) -> QuerySet[Any]:
    """Keep rows with the text in a name or a mention, the best first. `opened` is the kind of what
    was opened last.
    """
    text = asked.text
    word = rf"(^|[^[:alnum:]]){re.escape(text)}"
    ways = [("iexact", text), ("istartswith", text), ("iregex", word), ("icontains", text)]
    named = [_any(names, lookup, value) for lookup, value in ways]
    rank = Case(
        *(When(condition, then=place) for place, condition in enumerate(named)),
        default=ELSEWHERE,
        output_field=IntegerField(),
    )
    found = rows.filter(named[-1] | _any(mentions, "icontains", text))
    recency = _recency(asked.recent.get(opened, []))
    return found.order_by(rank, recency, Lower(names[0]), "pk")


def _any(fields: Sequence[str], lookup: str, value: str) -> Q:
    condition = Q(pk__in=[])
    for name in fields:
        condition |= Q(**{f"{name}__{lookup}": value})
    return condition


def _recency(ids: Sequence[int]) -> Any:
    if not ids:
        return Value(LAST)
    cases = (When(pk=pk, then=place) for place, pk in enumerate(ids))
    return Case(*cases, default=LAST, output_field=IntegerField())


def _deployments(asked: Asked) -> QuerySet[Model]:
    seen = Deployment.objects.visible_to(asked.user).exclude(phase=Phase.DELETED)
    related = ("workspace__organization", "cluster", "wanted", "applied")
    return _ranked(
        seen.select_related(*related),
        asked,
        names=("name", "ref"),
        mentions=("description",),
        opened="deployment",
    )


def _dags(asked: Asked) -> QuerySet[Model]:
    where = Deployment.objects.allowing(asked.user, "deployment.airflow.view")
    seen = DagSummary.objects.filter(deployment__in=where.exclude(phase=Phase.DELETED))
    return _ranked(
        seen.select_related("deployment__workspace"),
        asked,
        names=("name", "dag_id"),
        mentions=("description",),
    )


def _workspaces(asked: Asked) -> QuerySet[Model]:
    seen = Workspace.objects.visible_to(asked.user).select_related("organization")
    return _ranked(seen, asked, names=("name",), mentions=("description",), opened="workspace")


def _organizations(asked: Asked) -> QuerySet[Model]:
    return _ranked(Organization.objects.visible_to(asked.user), asked, names=("name",))


def _teams(asked: Asked) -> QuerySet[Model]:
    where = _where_people_are_seen(asked.user)
    seen = Team.objects.filter(organization__in=where).select_related("organization")
    return _ranked(seen, asked, names=("name",), mentions=("description",))


def _people(asked: Asked) -> QuerySet[Model]:
    """List the grants on organizations through which people are members: a hit leads there."""
    where = _where_people_are_seen(asked.user)
    seen = OrganizationGrant.objects.live().of_people().filter(content_object__in=where)
    related = ("user", "content_object", "permission__role")
    return _ranked(seen.select_related(*related), asked, names=("user__name", "user__email"))


def _where_people_are_seen(user: User) -> QuerySet[Organization]:
    return Organization.objects.allowing(user, "organization.members.view")


def _clusters(asked: Asked) -> QuerySet[Model]:
    seen = Cluster.objects.there().allowing(asked.user, "organization.clusters.view")
    return _ranked(seen.select_related("organization"), asked, names=("name",))


def _deployment_hit(row: Deployment) -> Hit:
    return Hit(
        name=row.name,
        url=reverse("deployments:overview", args=[row.ref]),
        place=f"{row.workspace.name}, {row.workspace.organization.name}",
        detail=f"{display_status(row).word} · {row.description or row.ref}",
    )


def _dag_hit(row: DagSummary) -> Hit:
    deployment = row.deployment
    url = reverse("dags:dag", args=[deployment.ref, row.dag_id])
    detail = f"{DagState(row.state).label} · {row.description or row.dag_id}"
    return Hit(
        row.name, url, place=f"{deployment.name}, {deployment.workspace.name}", detail=detail
    )


def _workspace_hit(row: Workspace) -> Hit:
    url = reverse("portal:workspace", args=[row.slug])
    return Hit(row.name, url, place=row.organization.name, detail=row.description)


def _organization_hit(row: Organization) -> Hit:
    return Hit(row.name, reverse("portal:organization", args=[row.slug]))


def _team_hit(row: Team) -> Hit:
    url = reverse("organizations:team", args=[row.organization.slug, row.pk])
    return Hit(row.name, url, place=row.organization.name, detail=row.description)


def _person_hit(row: OrganizationGrant) -> Hit:
    organization, person = row.content_object, row.user
    url = reverse("organizations:member", args=[organization.slug, person.pk])
    place = f"{row.role.name}, {organization.name}"
    return Hit(str(person), url, place=place, detail=person.email)


def _cluster_hit(row: Cluster) -> Hit:
    url = reverse("clusters:cluster", args=[row.organization.slug, row.pk])
    state = "Unreachable" if row.unreachable_since else row.get_kind_display()
    return Hit(row.name, url, place=row.organization.name, detail=state)


_ALL = (
    Kind("deployments", "Deployments", "deployments", _deployments, _deployment_hit),
    Kind("dags", "DAGs", "dags", _dags, _dag_hit),
    Kind("workspaces", "Workspaces", "workspaces", _workspaces, _workspace_hit),
    Kind("organizations", "Organizations", "home", _organizations, _organization_hit),
    Kind("teams", "Teams", "team", _teams, _team_hit),
    Kind("people", "People", "people", _people, _person_hit),
    Kind("clusters", "Clusters", "clusters", _clusters, _cluster_hit),
)
KINDS = {kind.key: kind for kind in _ALL}
