"""The list of Deployments: filtered, counted, ordered and cut by the database, in one query."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Count, F, IntegerField, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import JSONObject, Lower

from apps.accounts.models import User
from apps.deployments.badge import GROUPS, status_expression
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace

PAGE_SIZE = 50
SHOWN_QUEUES = 2
_RUNTIME = KeyTextTransform("runtime", "wanted__config")
ORDERS = {
    "name": (Lower("name").asc(),),
    "-name": (Lower("name").desc(),),
    "runtime": (_RUNTIME.asc(), Lower("name").asc()),
    "-runtime": (_RUNTIME.desc(), Lower("name").asc()),
    "changed": ("wanted__created_at", Lower("name").asc()),
    "-changed": ("-wanted__created_at", Lower("name").asc()),
}
_ROW_FIELDS = (
    "name",
    "ref",
    "description",
    "phase",
    "health",
    "health_sentence",
    "trouble",
    "quarantined_at",
    "next_reconcile_at",
    "workspace_id",
    *(
        f"{side}__{name}"
        for side in ("wanted", "applied")
        for name in ("number", "state", "failure", "code_digest")
    ),
    "wanted__created_at",
    "wanted__summary",
    "wanted__created_by__name",
    "wanted__created_by__email",
)


@dataclass(frozen=True, kw_only=True)
class ListFilter:
    """What the address asks for. Unknown values ask for nothing."""

    name: str = ""
    status: str = ""
    runtime: str = ""
    executor: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "ListFilter":
        page = query.get("page", "1")
        status, sort = query.get("status", ""), query.get("sort", "")
        return cls(
            name=query.get("q", "").strip()[:100],
            status=status if status in GROUPS else "",
            runtime=query.get("runtime", "")[:60],
            executor=query.get("executor", "")[:20],
            sort=sort if sort in ORDERS else "",
            page=min(int(page), 100_000)
            if page.isascii() and page.isdigit() and page != "0"
            else 1,
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.name or self.status or self.runtime or self.executor)


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """One page of rows; `tally` counts every group under the other filters, `total` this one's."""

    rows: list[Deployment]
    tally: dict[str, int] = field(default_factory=dict)
    total: int = 0


def deployments_page(*, user: User, workspace: Workspace, wanted: ListFilter) -> ListPage:
    """Return one page of a workspace's Deployments that the user sees, and the counts by status.

    The counts ride along with the rows; only an empty page asks for them by themselves.
    """
    found = _found(user, workspace, wanted)
    tally = found.order_by().values("group").annotate(count=Count("pk"))
    counted = tally.values(pair=JSONObject(group=F("group"), count=F("count")))
    rows = found.filter(group=wanted.status) if wanted.status else found
    start = (wanted.page - 1) * PAGE_SIZE
    # Cut first: the parts of JSON are taken out of the rows shown, not of all.
    cut = _in_order(rows, wanted.sort).values("pk")[start : start + PAGE_SIZE]
    shown = list(
        _in_order(Deployment.objects.filter(pk__in=cut), wanted.sort)
        .annotate(
            tally=ArraySubquery(counted),
            runtime=_RUNTIME,
            executor=KeyTextTransform("executor", "wanted__config"),
            queues=KeyTransform("queues", "wanted__config"),
            queues_seen=KeyTransform("queues", "observation"),
        )
        .select_related("wanted__created_by", "applied")
        .only(*_ROW_FIELDS)
    )
    pairs = shown[0].tally if shown else list(counted.values_list("pair", flat=True))
    counts = {pair["group"]: pair["count"] for pair in pairs}
    total = counts.get(wanted.status, 0) if wanted.status else sum(counts.values())
    return ListPage(rows=shown, tally=counts, total=total)


def _found(user: User, workspace: Workspace, wanted: ListFilter) -> QuerySet[Any]:
    seen = Deployment.objects.filter(workspace=workspace).visible_to(user)
    found: QuerySet[Any] = seen.exclude(phase=Phase.DELETED).annotate(group=status_expression())
    if wanted.name:
        found = found.filter(name__icontains=wanted.name)
    if wanted.runtime:
        found = found.filter(wanted__config__runtime=wanted.runtime)
    if wanted.executor:
        found = found.filter(wanted__config__executor=wanted.executor)
    return found


def _in_order(rows: QuerySet[Any], sort: str) -> QuerySet[Any]:
    """Order rows; by default those first that need a person most."""
    if sort:
        return rows.order_by(*ORDERS[sort])
    places = (When(group=group, then=Value(place)) for place, group in enumerate(GROUPS))
    attention = Case(*places, default=Value(len(GROUPS)), output_field=IntegerField())
    placed: QuerySet[Any] = rows.annotate(group=status_expression())
    return placed.order_by(attention, *ORDERS["name"])


def queue_cells(row: Any) -> tuple[list[dict[str, Any]], int]:
    """Return the queues that a table cell shows, and how many more there are."""
    ready = {queue["name"]: queue["workers_ready"] for queue in row.queues_seen or []}
    cells = [
        {
            "name": queue["name"],
            "running": ready.get(queue["name"], 0),
            "maximum": queue["max_workers"],
        }
        for queue in row.queues or []
    ]
    return cells[:SHOWN_QUEUES], max(0, len(cells) - SHOWN_QUEUES)
