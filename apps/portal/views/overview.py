"""What Home and the overview of an organization share."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.deployments.badge import GROUPS
from apps.deployments.pages.listing import GROUP_WORDS
from apps.organizations.models import Organization, Workspace
from apps.portal.home.morning import morning_of
from apps.portal.home.overview import (
    clusters_seen,
    deployments_seen,
    in_order_of_attention,
    needing_attention,
    pins_of,
    recent_changes,
    recent_deployments,
    rows_of,
    tally_of,
    workspace_rows,
)
from apps.portal.home.recents import recent_ids

ALL = "all"
DEPLOYMENTS_A_PAGE = 50
WORKSPACES_A_PAGE = 50
# An organization has a page for all of them.
WORKSPACES_OF_ONE = 20
MOST_ATTENTION = 10
MOST_CHANGES = 10
MOST_PINS = 30
MOST_RECENT = 6


def overview(
    request: HttpRequest,
    *,
    workspaces: QuerySet[Workspace],
    organization: Organization | None = None,
) -> dict[str, Any]:
    """Return what Home and the overview of an organization share: with a status in the address the
    Deployments that have it, otherwise what needs attention, what changed and what runs.
    """
    person = request_user(request)
    seen = deployments_seen(user=person, organization=organization)
    tally = tally_of(seen)
    counts = tally.by_status
    pins = pins_of(user=person, limit=MOST_PINS)
    status = request.GET.get("status", "")
    context = {
        "tally": _tally(counts, status),
        "deployment_count": sum(counts.values()),
        "pins": pins,
        "here": request.get_full_path(),
    }
    if status == ALL or status in GROUPS:
        return context | _with_status(request, seen, status)
    size = WORKSPACES_A_PAGE if organization is None else WORKSPACES_OF_ONE
    page = Paginator(workspaces, size).get_page(request.GET.get("page"))
    troubled = in_order_of_attention(needing_attention(seen))[: MOST_ATTENTION + 1]
    ids = recent_ids(request.session, "deployment")[:MOST_RECENT]
    clusters = list(clusters_seen(user=person, organization=organization))
    return context | {
        "attention": rows_of(troubled[:MOST_ATTENTION]),
        "has_more_attention": len(troubled) > MOST_ATTENTION,
        "changes": recent_changes(user=person, organization=organization, limit=MOST_CHANGES),
        "page_obj": page,
        "workspaces": workspace_rows(list(page.object_list), seen=seen),
        "workspace_count": page.paginator.count,
        "recent": recent_deployments(ids, seen=seen),
        "clusters": clusters,
        "morning": morning_of(
            user=person,
            organization=organization,
            runtimes=tally.by_runtime,
            clusters=clusters,
            now=timezone.now(),
        ),
        "create_in": None if counts else _first_to_create_in(workspaces, person),
    }


def _first_to_create_in(workspaces: QuerySet[Workspace], person: User) -> Workspace | None:
    """Return the workspace to offer the first Deployment in, if the person may create one."""
    may = Workspace.objects.allowing(person, "workspace.deployments.create")
    return workspaces.filter(pk__in=may.values("pk")).first()


def _with_status(request: HttpRequest, seen: QuerySet[Any], status: str) -> dict[str, Any]:
    found = seen if status == ALL else seen.filter(group=status)
    page = Paginator(in_order_of_attention(found), DEPLOYMENTS_A_PAGE).get_page(
        request.GET.get("page")
    )
    word = "All" if status == ALL else GROUP_WORDS[status][0]
    return {"status": status, "status_word": word, "page_obj": page, "rows": rows_of(page)}


def _tally(counts: dict[str, int], status: str) -> list[dict[str, Any]]:
    items = [{"label": "All", "count": sum(counts.values()), "tone": "", "url": f"?status={ALL}"}]
    for group in GROUPS:
        if counts.get(group) or group == status:
            word, tone = GROUP_WORDS[group]
            url = f"?status={group}"
            items.append({"label": word, "count": counts.get(group, 0), "tone": tone, "url": url})
    for item in items:
        item["is_current"] = item["url"] == f"?status={status}"
    return items
