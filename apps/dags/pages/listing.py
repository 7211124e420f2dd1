from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.core.web.own_addresses import address_with
from apps.dags.models import DagReport, DagState, DagSummary
from apps.dags.pages.parts import RUN, dag_url, url_in_airflow
from apps.dags.pages.queries import (
    SEE,
    DagFilter,
    choices_of,
    dags_page,
    deployments_with_dags,
    reports_of,
)
from apps.dags.pages.run_bars import run_bars
from apps.dags.summaries import MOST_DAGS
from apps.dags.tasks import request_refresh
from apps.dataplane.untrusted import moment_at
from apps.deployments.badge import import_errors_in_words
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of
from apps.organizations.models import Organization, Workspace

POLL_SECONDS, FIRST_SECONDS = 20, 3
MOST_PROBLEMS = 3
OLD = timedelta(minutes=5)
NOT_ASKED = "Its Airflow is not healthy, so the portal does not ask it."
STATE_LOOKS = {
    "import-error": ("bad", "warn"),
    "failed": ("bad", ""),
    "running": ("move", ""),
    "succeeded": ("good", ""),
    "paused": ("idle", "skip"),
    "no-runs": ("idle", "unknown"),
}
LAST_WORDS = {"failed": "after", "success": "took"}


@scoped(Deployment, SEE, by="ref")
@require_safe
def of_deployment(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    request_refresh(deployment)
    return _list(request, deployment, _import_failures(request, deployment))


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def of_workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _list(request, workspace, {})


@scoped(Organization, "organization.view", by="slug")
@require_safe
def of_organization(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _list(request, organization, {})


def _list(
    request: HttpRequest, place: Organization | Workspace | Deployment, context: dict[str, Any]
) -> HttpResponse:
    wanted = DagFilter.from_query(request.GET.dict())
    user = request_user(request)
    seen = deployments_with_dags(user=user, on=place)
    found = dags_page(seen=seen, wanted=wanted)
    reports = reports_of(seen)
    may_run = Deployment.objects.allowing(user, RUN)
    on_page = {row.deployment_id for row in found.page}
    runnable = set(may_run.filter(pk__in=on_page).values_list("pk", flat=True)) if on_page else ()
    now = timezone.now()
    total = sum(found.tally.values())
    context |= {
        "place": place,
        "deployment": place if isinstance(place, Deployment) else None,
        "wanted": wanted,
        "page": found.page,
        "rows": [_row(row, now, can_run=row.deployment_id in runnable) for row in found.page],
        "tally": _tally(request, found.tally, wanted.state),
        "total": total,
        "is_none_yet": not total and not wanted.is_narrow,
        "now": now,
        "address": request.get_full_path(),
        "is_live": request.GET.get("live") != "off",
        **_reported(reports, now),
    }
    context["poll_seconds"] = POLL_SECONDS if context["seen_at"] else FIRST_SECONDS
    if is_fragment(request):
        response = render(request, "dags/list/_list.html", context)
    else:
        context |= {
            "reports": reports,
            "tags": choices_of(seen=seen, field="tags"),
            "owners": choices_of(seen=seen, field="owners"),
        }
        response = render(request, "dags/list/list.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _reported(reports: list[DagReport], now: datetime) -> dict[str, Any]:
    """Return how old the rows are, what could not be read, and how many rows are missing."""
    for one in reports:
        if not one.problem and one.seen_at and now - one.seen_at > OLD:
            one.problem = NOT_ASKED
    problems = [one for one in reports if one.problem]
    times = [one.seen_at for one in reports if one.seen_at]
    return {
        "seen_at": min(times) if times else None,
        "problems": problems[:MOST_PROBLEMS],
        "more_problems": max(0, len(problems) - MOST_PROBLEMS),
        "n_deployments": len(reports),
        "cut": [one for one in reports if one.count > MOST_DAGS][:MOST_PROBLEMS],
        "most_dags": MOST_DAGS,
    }


def _row(dag: DagSummary, now: datetime, *, can_run: bool) -> dict[str, Any]:
    tone, icon = STATE_LOOKS[dag.state]
    last = dag.runs[-1] if dag.runs else None
    return {
        "dag": dag,
        "url": dag_url(dag.deployment, dag.dag_id),
        "airflow_url": url_in_airflow(dag.deployment, "dags", dag.dag_id),
        "pause_url": reverse("dags:pause", args=[dag.deployment.ref, dag.dag_id]),
        "tone": tone,
        "icon": icon,
        "word": DagState(dag.state).label,
        "bars": run_bars(dag.runs),
        "is_due": dag.next_run_at is not None and dag.next_run_at <= now,
        "last_at": moment_at(last[1]) if last else None,
        "last_word": LAST_WORDS.get(last[0], "") if last else "",
        "last_seconds": last[2] if last else None,
        "can_run": can_run,
    }


def _tally(request: HttpRequest, counts: dict[str, int], current: str) -> list[dict[str, Any]]:
    items = [_item(request, "", "All", sum(counts.values()), "", "", is_current=not current)]
    for state in DagState:
        count = counts.get(state, 0)
        if count or state == current:
            tone, icon = STATE_LOOKS[state]
            is_current = state == current
            items.append(
                _item(request, state, state.label, count, tone, icon, is_current=is_current)
            )
    return items


def _item(
    request: HttpRequest,
    state: str,
    label: str,
    count: int,
    tone: str,
    icon: str,
    *,
    is_current: bool,
) -> dict[str, Any]:
    return {
        "label": label,
        "count": count,
        "tone": tone,
        "icon": icon,
        "url": address_with(request, state=state),
        "is_current": is_current,
    }


def _import_failures(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """Return the files that cannot be imported, of the last look at the Deployment."""
    seen = observation_of(deployment)
    if seen is None or not seen.import_errors:
        return {}
    failures: Iterable[Any] = seen.import_failures or ()
    return {
        "import_errors": seen.import_errors,
        "import_failures": list(failures),
        "import_errors_title": import_errors_in_words(seen.import_errors),
        "can_see_logs": request.user.has_perm("deployment.logs.view", deployment),
    }
