from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from django.core.cache import caches
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from apps.access.queries import explain_denial
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.core.web.own_addresses import address_with
from apps.core.words import seconds_ago_in_words
from apps.deployments.badge import GROUPS, display_status
from apps.deployments.configuration.options import EXECUTORS
from apps.deployments.pages.list_queries import (
    PAGE_SIZE,
    ListFilter,
    ListPage,
    Row,
    deployments_page,
    queue_cells,
)
from apps.organizations.models import Workspace
from apps.runtimes.catalogue import runtimes
from apps.runtimes.notes import RuntimeNote, runtime_note

POLL_SECONDS = 20
ADVICE_SECONDS = 60
CREATE = "workspace.deployments.create"
KEPT_ROWS = 2_000
GROUP_WORDS = {
    "failed": ("Failed", "bad"),
    "unhealthy": ("Unhealthy", "bad"),
    "degraded": ("Degraded", "warn"),
    "unknown": ("Unknown", "idle"),
    "progress": ("In progress", "move"),
    "healthy": ("Healthy", "good"),
    "hibernating": ("Hibernating", "idle"),
}


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def deployments(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    wanted = ListFilter.from_query(request.GET.dict())
    page = deployments_page(user=request_user(request), workspace=workspace, wanted=wanted)
    now = timezone.now()
    context = {
        "workspace": workspace,
        "wanted": wanted,
        "rows": _rows(page, now),
        "page": _page_of(page, wanted.page),
        "total": page.total,
        "is_none_yet": not page.tally and not wanted.is_narrow,
        "now": now,
        "is_live": request.GET.get("live") != "off",
        "poll_seconds": POLL_SECONDS,
        "address": request.get_full_path(),
    }
    if is_fragment(request):
        response = render(request, "deployments/list/_list.html", context)
    else:
        response = render(
            request, "deployments/list/list.html", context | _around(request, workspace, page)
        )
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _around(request: HttpRequest, workspace: Workspace, page: ListPage) -> dict[str, Any]:
    """Return what stands around the table: counts, choices of the filters, who may create."""
    can_create = request.user.has_perm(CREATE, workspace)
    return {
        "tally": _tally(request, page),
        "runtimes": tuple(runtime.version for runtime in runtimes()),
        "executors": EXECUTORS,
        "can_create": can_create,
        "advice": None if can_create else _advice(workspace),
    }


def _advice(workspace: Workspace) -> dict[str, Any]:
    """Return which role may create here, and who can assign it. It is the same for everyone who
    sees the workspace and may be a minute old; the page that refuses computes it anew.
    """

    def explain() -> dict[str, Any]:
        denial = explain_denial(permission=CREATE, on=workspace)
        people = [str(person) for person in denial.grantors]
        return {"role": " or ".join(denial.roles[:2]), "people": people}

    key = f"advice:{CREATE}:{workspace.pk}"
    found = cast(dict[str, Any], caches["process"].get_or_set(key, explain, ADVICE_SECONDS))
    return {"role": found["role"], "people": tuple(found["people"])}


@dataclass(frozen=True)
class TallyItem:
    """A count that filters the list."""

    label: str
    tone: str
    count: int
    url: str
    is_current: bool


def _tally(request: HttpRequest, page: ListPage) -> tuple[TallyItem, ...]:
    current = request.GET.get("status", "")
    words = {"": ("All", "")} | GROUP_WORDS
    counts = {"": sum(page.tally.values())} | {one: page.tally.get(one, 0) for one in GROUPS}
    items = []
    for group, count in counts.items():
        if count or group in ("", current):
            url = address_with(request, status=group)
            items.append(TallyItem(*words[group], count, url, group == current))
    return tuple(items)


class ShownRow(NamedTuple):
    """The cells of a row as HTML, and what else the table needs."""

    ref: str
    tone: str
    cells: SafeString


def _rows(page: ListPage, now: datetime) -> list[ShownRow]:
    today = timezone.localdate(now)
    versions = {row.runtime for row in page.rows}
    notes = {version: runtime_note(version, today=today) for version in versions}
    zone = timezone.get_current_timezone_name()
    rows = []
    moment = now.timestamp()
    for row in page.rows:
        changed = seconds_ago_in_words(moment - row.changed_at) if row.changed_at else ""
        rows.append(_drawn(row, notes[row.runtime], changed, zone))
    return rows


@lru_cache(maxsize=KEPT_ROWS)
def _drawn(row: Row, note: RuntimeNote | None, changed: str, zone: str) -> ShownRow:
    """Render a row, or return its cached rendering: every open list polls fifty rows three times a
    minute, and few of them have changed.

    `changed` and `zone` stand for the clock and the person's time zone, on which the rendering
    depends, too.
    """
    queues, more_queues = queue_cells(row)
    status = display_status(row)
    context = {
        "row": row,
        "url": reverse("deployments:overview", args=[row.ref]),
        "changed_at": datetime.fromtimestamp(row.changed_at, UTC) if row.changed_at else None,
        "status": status,
        "queues": queues,
        "more_queues": more_queues,
        "runtime_note": note,
    }
    cells = render_to_string("deployments/list/_list_row.html", context)
    return ShownRow(row.ref, status.tone, cells)


class _Counted(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """A paginator with a given count, because the rows carry it."""

    def __init__(self, total: int) -> None:
        super().__init__([], PAGE_SIZE)
        self.count = total


def _page_of(page: ListPage, number: int) -> Any:
    paginator = _Counted(page.total)
    return paginator.page(min(number, paginator.num_pages))
