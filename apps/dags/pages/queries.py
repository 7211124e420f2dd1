"""The lists of DAGs: of a Deployment, a workspace or an organization. A fixed number of queries,
however many DAGs there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Page, Paginator
from django.db.models import Count, F, Func, IntegerField, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Lower

from apps.accounts.models import User
from apps.core.web.own_addresses import number_in
from apps.dags.models import DagReport, DagState, DagSummary
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Organization, Workspace

SEE = "deployment.airflow.view"
PAGE_SIZE = 50
MOST_CHOICES = 300
ORDERS: dict[str, tuple[Any, ...]] = {
    "name": (Lower("name").asc(),),
    "-name": (Lower("name").desc(),),
    "next": (F("next_run_at").asc(nulls_last=True), Lower("name")),
    "-next": (F("next_run_at").desc(nulls_last=True), Lower("name")),
    "last": (F("last_run_at").asc(nulls_last=True), Lower("name")),
    "-last": (F("last_run_at").desc(nulls_last=True), Lower("name")),
}
# Paused and unused DAGs need no one.
ATTENTION = ("import-error", "failed", "running", "succeeded", "no-runs", "paused")
_PLACE = Func(
    Value(list(ATTENTION), output_field=ArrayField(TextField())),
    Cast("state", TextField()),
    function="array_position",
    output_field=IntegerField(),
)


@dataclass(frozen=True, kw_only=True)
class DagFilter:
    """What a list is narrowed by; values that make no sense are ignored."""

    text: str = ""
    state: str = ""
    deployment: str = ""
    tag: str = ""
    owner: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "DagFilter":
        state, sort = query.get("state", ""), query.get("sort", "")
        return cls(
            text=query.get("q", "").strip()[:100],
            state=state if state in DagState.values else "",
            deployment=query.get("deployment", "")[:40],
            tag=query.get("tag", "")[:100],
            owner=query.get("owner", "")[:100],
            sort=sort if sort in ORDERS else "",
            page=number_in(query.get("page", "")) or 1,
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.text or self.state or self.deployment or self.tag or self.owner)


@dataclass(frozen=True, kw_only=True)
class DagPage:
    """A page of DAGs; `tally` counts those of each state that the other filters leave."""

    page: "Page[DagSummary]"
    tally: dict[str, int]


def deployments_with_dags(
    *, user: User, on: Organization | Workspace | Deployment
) -> QuerySet[Deployment]:
    """List the Deployments of a place whose DAGs the person may see."""
    seen = Deployment.objects.allowing(user, SEE).exclude(phase=Phase.DELETED)
    if isinstance(on, Deployment):
        return seen.filter(pk=on.pk)
    if isinstance(on, Workspace):
        return seen.filter(workspace=on)
    return seen.filter(workspace__organization=on)


def dags_page(*, seen: QuerySet[Deployment], wanted: DagFilter) -> DagPage:
    """Return a page of the DAGs of some Deployments. Three queries."""
    found = _narrowed(DagSummary.objects.filter(deployment__in=seen.values("pk")), wanted)
    counts = found.order_by().values_list("state").annotate(count=Count("pk"))
    tally = dict(counts)
    if wanted.state:
        found = found.filter(state=wanted.state)
    order = ORDERS[wanted.sort] if wanted.sort else (_PLACE, Lower("name"))
    rows = found.select_related("deployment__workspace").order_by(*order, "pk")
    paginator = Paginator(rows, PAGE_SIZE)
    return DagPage(page=paginator.get_page(wanted.page), tally=tally)


def dags_of(*, seen: QuerySet[Deployment], wanted: DagFilter) -> QuerySet[DagSummary]:
    """List the DAGs of some Deployments that a filter leaves, in no order."""
    found = _narrowed(DagSummary.objects.filter(deployment__in=seen.values("pk")), wanted)
    found = found.filter(state=wanted.state) if wanted.state else found
    return found.select_related("deployment__workspace")


def choices_of(*, seen: QuerySet[Deployment], field: str) -> list[str]:
    """List the tags or owners (`field`) of the DAGs of some Deployments, at most 300. One query."""
    rows = DagSummary.objects.filter(deployment__in=seen.values("pk"))
    names = rows.annotate(one=Func(F(field), function="unnest")).order_by("one")
    return list(names.values_list("one", flat=True).distinct()[:MOST_CHOICES])


def reports_of(seen: QuerySet[Deployment]) -> list[DagReport]:
    """List what the last looks at some Deployments found, those with a problem first. One query."""
    reports = DagReport.objects.filter(deployment__in=seen.values("pk"))
    return list(reports.select_related("deployment").order_by("-problem", "deployment__name"))


def _narrowed(rows: QuerySet[DagSummary], wanted: DagFilter) -> QuerySet[DagSummary]:
    if wanted.text:
        named = Q(dag_id__icontains=wanted.text) | Q(name__icontains=wanted.text)
        rows = rows.filter(named | Q(description__icontains=wanted.text))
    if wanted.deployment:
        rows = rows.filter(deployment__ref=wanted.deployment)
    if wanted.tag:
        rows = rows.filter(tags__contains=[wanted.tag])
    if wanted.owner:
        rows = rows.filter(owners__contains=[wanted.owner])
    return rows
