"""What the pages of DAGs share: names of states, breadcrumbs, pages of a known count, and answers
when Airflow has none.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from apps.access.queries import Denial, denial_for
from apps.airflow_access.tickets import airflow_url
from apps.core.web.htmx import is_fragment
from apps.core.web.own_addresses import number_in
from apps.dags.airflow.api import AirflowSilent, NotInAirflow
from apps.deployments.models import Deployment

RUN = "deployment.airflow.run"
# Of runs and of tasks: word, tone, drawing.
STATES: dict[str, tuple[str, str, str]] = {
    "success": ("Succeeded", "good", ""),
    "failed": ("Failed", "bad", ""),
    "running": ("Running", "move", ""),
    "queued": ("Queued", "move", "wait"),
    "scheduled": ("Scheduled", "move", "wait"),
    "deferred": ("Deferred", "move", "wait"),
    "restarting": ("Restarting", "move", ""),
    "up_for_retry": ("Waits to retry", "warn", ""),
    "up_for_reschedule": ("Waits to look again", "move", "wait"),
    "upstream_failed": ("Upstream failed", "warn", ""),
    "skipped": ("Skipped", "idle", "skip"),
    "removed": ("Removed", "idle", "trash"),
    "": ("Not started", "idle", "wait"),
}
KINDS = {
    "manual": "By hand",
    "scheduled": "On schedule",
    "backfill": "Backfill",
    "asset_triggered": "By an asset",
    "asset_materialization": "By an asset",
}
LARGEST_PAGE = 100_000


class CountedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """A paginator of rows that another machine counts and cuts."""

    def __init__(self, count: int, per_page: int) -> None:
        super().__init__([], per_page)
        self.count = count


def counted_page(*, count: int, per_page: int, number: int) -> "Page[Any]":
    """Return the page with a number, or the last one there is, of a list with a known count."""
    paginator = CountedPaginator(count, per_page)
    return paginator.page(max(1, min(number, paginator.num_pages)))


def page_number(request: HttpRequest) -> int:
    """Return the page that an address asks for; 1 for nonsense."""
    return number_in(request.GET.get("page", ""), most=LARGEST_PAGE) or 1


def state_of(state: str) -> dict[str, str]:
    """Return word, tone and drawing of a state; one that is not known is shown as it is."""
    word, tone, icon = STATES.get(state, (state.replace("_", " ").capitalize(), "idle", ""))
    return {"word": word, "tone": tone, "icon": icon}


def crumbs(deployment: Deployment, *below: tuple[str, str]) -> list[dict[str, str]]:
    """Return the breadcrumbs of a page below the DAGs of a Deployment; `below` are label and
    address.
    """
    workspace = deployment.workspace
    organization = workspace.organization
    found = [
        (str(organization), reverse("portal:organization", args=[organization.slug])),
        (str(workspace), reverse("portal:workspace", args=[workspace.slug])),
        (str(deployment), reverse("deployments:overview", args=[deployment.ref])),
        ("DAGs", reverse("dags:deployment", args=[deployment.ref])),
        *below,
    ]
    return [{"label": label, "url": url} for label, url in found]


def dag_url(deployment: Deployment, dag_id: str) -> str:
    return reverse("dags:dag", args=[deployment.ref, dag_id])


def run_url(deployment: Deployment, dag_id: str, run_id: str) -> str:
    return reverse("dags:run", args=[deployment.ref, dag_id, run_id])


def map_index_in(request: HttpRequest) -> int:
    """Return which instance of a mapped task an address means, -1 for one that is not mapped."""
    index = number_in(request.GET.get("map", ""))
    return -1 if index is None else index


def task_url(deployment: Deployment, ids: tuple[str, str, str], map_index: int = -1) -> str:
    url = reverse("dags:task", args=[deployment.ref, *ids])
    return f"{url}?{urlencode({'map': map_index})}" if map_index >= 0 else url


def url_in_airflow(deployment: Deployment, *parts: str) -> str:
    """Return the address that opens a page of Airflow, signed in by way of the portal."""
    path = urlsplit(airflow_url(deployment)).path + "/".join(quote(part, safe="") for part in parts)
    entry = reverse("airflow_access:airflow_entry", args=[deployment.ref])
    return f"{entry}?{urlencode({'next': path})}"


def run_denial(request: HttpRequest, deployment: Deployment) -> Denial | None:
    """Explain why the actions are locked for this person; None where they are not."""
    return denial_for(user=request.user, permission=RUN, on=deployment)


def airflow_page(
    request: HttpRequest,
    deployment: Deployment,
    template: str,
    read: Callable[[], dict[str, Any]],
    *,
    title: str,
) -> HttpResponse:
    """Render a page of what Airflow says, or one that says why it says nothing."""
    try:
        context = read()
    except NotInAirflow as error:
        context = _silence(deployment, title, error.message)
        return render(request, "dags/unknown.html", context, status=404)
    except AirflowSilent as error:
        if is_fragment(request):
            # The card that asked stays as it was, and says so.
            return HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8")
        return render(request, "dags/silent.html", _silence(deployment, title, error.message))
    return render(request, template, {"deployment": deployment, **context})


def _silence(deployment: Deployment, title: str, message: str) -> dict[str, Any]:
    return {
        "deployment": deployment,
        "name": title,
        "silence": message,
        "crumbs": crumbs(deployment),
    }
