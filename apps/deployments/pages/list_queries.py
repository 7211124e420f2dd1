"""The list of Deployments: filtered, counted, ordered and cut by the database, in one query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import (
    Case,
    CharField,
    Count,
    F,
    FloatField,
    Func,
    IntegerField,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KT, KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce, JSONObject, Lower, NullIf

from apps.accounts.models import User
from apps.core.kept_queries import Asked, Statement, asked, filled, written
from apps.core.web.own_addresses import number_in
from apps.deployments.badge import GROUPS, status_expression
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace

PAGE_SIZE = 50
SHOWN_QUEUES = 2
KEPT_STATEMENTS = 64
DIGITS = 20
_RUNTIME = KeyTextTransform("runtime", "wanted__config")


def _natural(text: Any) -> Func:
    """Return a text to sort by in which numbers count as numbers: etl-2 before etl-10.

    Each run of digits is filled up with zeros, then cut to its last twenty.
    """
    filled = _replaced(text, r"(\d+)", "0" * DIGITS + r"\1")
    return _replaced(filled, rf"\d*(\d{{{DIGITS}}})(?!\d)", r"\1")


def _replaced(text: Any, pattern: str, by: str) -> Func:
    values = (Value(pattern), Value(by), Value("g"))
    return Func(text, *values, function="regexp_replace", output_field=TextField())


BY_NAME = Lower("name")
ORDERS: dict[str, tuple[Any, ...]] = {
    "name": (_natural(BY_NAME).asc(), BY_NAME.asc()),
    "-name": (_natural(BY_NAME).desc(), BY_NAME.desc()),
    "runtime": (_natural(_RUNTIME).asc(), BY_NAME.asc()),
    "-runtime": (_natural(_RUNTIME).desc(), BY_NAME.asc()),
    "changed": ("wanted__created_at", Lower("name").asc()),
    "-changed": ("-wanted__created_at", Lower("name").asc()),
}
# In the order of the fields of `Row`.
_COLUMNS = (
    "ref",
    "name",
    "description",
    "phase",
    "health",
    "health_message",
    "last_error",
    "quarantined_at",
    Coalesce(
        Cast(KeyTextTransform("import_errors", "observation"), IntegerField()),
        Value(0),
    ),
    # The badge shows the first.
    KT("observation__warnings__0"),
    # Only the badge of one in deletion asks for it, and elsewhere it changes with every pass.
    Case(When(phase=Phase.DELETING, then=F("next_reconcile_at"))),
    # As seconds since 1970: fifty moments with a zone take longer to read than all other columns.
    Func(
        F("wanted__created_at"),
        template="EXTRACT(EPOCH FROM %(expressions)s)::double precision",
        output_field=FloatField(),
    ),
    "wanted__summary",
    # As `str(user)` has it.
    Coalesce(
        NullIf("wanted__created_by__name", Value("", output_field=CharField())),
        "wanted__created_by__email",
        output_field=CharField(),
    ),
    Coalesce(_RUNTIME, Value(""), output_field=TextField()),
    KeyTextTransform("executor", "wanted__config"),
    KeyTransform("queues", "wanted__config"),
    KeyTransform("queues", "observation"),
    "open_incidents",
    "incident_severity",
    "is_hibernating",
    "hibernation_turns_at",
    "cluster__name",
    "cluster__unreachable_since",
)
_PLACE = Func(
    Value(list(GROUPS), output_field=ArrayField(TextField())),
    Cast(status_expression(), TextField()),
    function="array_position",
    output_field=IntegerField(),
)
_REVISIONS = tuple(
    f"{side}__{name}"
    for side in ("wanted", "applied")
    for name in ("number", "state", "failure", "code_digest")
)
_WORKSPACE = asked("workspace")
_SEEN = RawSQL("SELECT unnest(%s::bigint[])", [Asked("seen")])  # noqa: S611 - a place for a parameter


@dataclass(frozen=True, kw_only=True)
class ListFilter:
    """The filter in the query string. Unknown values are ignored."""

    name: str = ""
    status: str = ""
    runtime: str = ""
    executor: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "ListFilter":
        status, sort = query.get("status", ""), query.get("sort", "")
        return cls(
            name=query.get("q", "").replace("\x00", "").strip()[:100],
            status=status if status in GROUPS else "",
            runtime=query.get("runtime", "").replace("\x00", "")[:60],
            executor=query.get("executor", "").replace("\x00", "")[:20],
            sort=sort if sort in ORDERS else "",
            page=number_in(query.get("page", ""), most=100_000) or 1,
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.name or self.status or self.runtime or self.executor)


class RowRevision(NamedTuple):
    number: int
    state: str
    failure: str
    code_digest: str


class RowCluster(NamedTuple):
    name: str
    unreachable_since: datetime | None


class Row(NamedTuple):
    """What the list shows of a Deployment. `queues` and `queues_seen` are JSON as it was stored,
    `warning` is the
    first, `changed_at` counts seconds since 1970.
    """

    ref: str
    name: str
    description: str
    phase: str
    health: str
    health_message: str
    last_error: str
    quarantined_at: datetime | None
    import_errors: int
    warning: str | None
    next_reconcile_at: datetime | None
    changed_at: float | None
    summary: str | None
    author: str | None
    runtime: str
    executor: str | None
    queues: str | None
    queues_seen: str | None
    open_incidents: int
    incident_severity: int
    is_hibernating: bool
    hibernation_turns_at: datetime | None
    cluster: RowCluster
    wanted: RowRevision | None
    applied: RowRevision | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """As the badge asks for them."""
        return (self.warning,) if self.warning else ()


class QueueCell(NamedTuple):
    name: str
    running: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """One page of rows; `tally` counts every group under the other filters, `total` this one's."""

    rows: list[Row]
    tally: dict[str, int] = field(default_factory=dict)
    total: int = 0


def deployments_page(*, user: User, workspace: Workspace, wanted: ListFilter) -> ListPage:
    """Return one page of a workspace's Deployments that the user sees, and the counts by status.

    The counts ride along with the rows; only an empty page asks for them by themselves. Who does
    not see all of the workspace costs one query more.
    """
    sees_all = user.has_perm("deployment.view", workspace)
    values: dict[str, Any] = {"workspace": workspace.pk}
    if not sees_all:
        seen = Deployment.objects.filter(workspace=workspace).visible_to(user)
        values["seen"] = list(seen.values_list("pk", flat=True))
    found = _run(_rows_statement(wanted, sees_all), values)
    rows = found or _run(_tally_statement(wanted, sees_all), values)
    counts = {pair["group"]: pair["count"] for pair in (json.loads(one) for one in rows[0][-1])}
    total = counts.get(wanted.status, 0) if wanted.status else sum(counts.values())
    return ListPage(rows=[_row(values) for values in found], tally=counts, total=total)


def queue_cells(row: Row) -> tuple[tuple[QueueCell, ...], int]:
    """Return the queues that a table cell shows, and how many more there are."""
    ready = {
        queue["name"]: queue["workers_ready"] for queue in json.loads(row.queues_seen or "[]") or []
    }
    cells = tuple(
        QueueCell(queue["name"], ready.get(queue["name"], 0), queue["max_workers"])
        for queue in json.loads(row.queues or "[]") or []
    )
    return cells[:SHOWN_QUEUES], max(0, len(cells) - SHOWN_QUEUES)


@lru_cache(maxsize=KEPT_STATEMENTS)
def _rows_statement(wanted: ListFilter, sees_all: bool) -> Statement:
    """Write the query of a page, which depends on nothing but the arguments.

    Writing it takes the ORM ten times as long as reading the answer, so the text is kept for the
    next who asks the same. What a person may see is no part of it.
    """
    found = _found(wanted, sees_all)
    rows = found.filter(group=wanted.status) if wanted.status else found
    start = (wanted.page - 1) * PAGE_SIZE
    # Cut first: the parts of JSON are taken out of the rows shown, not of all.
    cut = _in_order(rows, wanted.sort).values("pk")[start : start + PAGE_SIZE]
    shown = _in_order(Deployment.objects.filter(pk__in=cut), wanted.sort)
    tally = ArraySubquery(_tally(found))
    return written(shown.values_list(*_COLUMNS, *_REVISIONS, tally))


@lru_cache(maxsize=KEPT_STATEMENTS)
def _tally_statement(wanted: ListFilter, sees_all: bool) -> Statement:
    pairs = ArraySubquery(_tally(_found(wanted, sees_all)))
    return written(Workspace.objects.filter(pk=_WORKSPACE).values_list(pairs))


def _run(statement: Statement, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    sql, parameters = statement
    with connection.cursor() as cursor:
        cursor.execute(sql, filled(parameters, values))
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _row(values: tuple[Any, ...]) -> Row:
    own, cluster = values[:-11], values[-11:-9]
    wanted, applied = values[-9:-5], values[-5:-1]
    return Row._make((*own, RowCluster(*cluster), _revision(wanted), _revision(applied)))


def _revision(values: tuple[Any, ...]) -> RowRevision | None:
    return None if values[0] is None else RowRevision(*values)


def _tally(found: QuerySet[Any]) -> QuerySet[Any]:
    counted = found.order_by().values("group").annotate(count=Count("pk"))
    pairs: QuerySet[Any] = counted.values(pair=JSONObject(group=F("group"), count=F("count")))
    return pairs


def _found(wanted: ListFilter, sees_all: bool) -> QuerySet[Any]:
    living = Deployment.objects.filter(workspace=_WORKSPACE).exclude(phase=Phase.DELETED)
    seen = living if sees_all else living.filter(pk__in=_SEEN)
    found: QuerySet[Any] = seen.annotate(group=status_expression())
    if wanted.name:
        found = found.filter(name__icontains=wanted.name)
    if wanted.runtime:
        found = found.filter(wanted__config__runtime=wanted.runtime)
    if wanted.executor:
        found = found.filter(wanted__config__executor=wanted.executor)
    return found


def _in_order(rows: QuerySet[Any], sort: str) -> QuerySet[Any]:
    """Order rows; by default the most urgent status first."""
    if sort:
        return rows.order_by(*ORDERS[sort])
    placed: QuerySet[Any] = rows.order_by(_PLACE, BY_NAME.asc())
    return placed
