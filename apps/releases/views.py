from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.core.web.gates import operator_only
from apps.core.web.htmx import is_fragment
from apps.organizations.models import Organization
from apps.releases import feed, index, queries, shelf, trial
from apps.releases.models import OPEN, Release, ReleaseState

POLL_SECONDS = 5
TONES = {
    ReleaseState.FOUND: "idle",
    ReleaseState.TESTING: "move",
    ReleaseState.TESTED: "good",
    ReleaseState.FAILED: "bad",
}


@scoped(Organization, "organization.view", by="slug")
@require_safe
def runtimes(request: HttpRequest, organization: Organization) -> HttpResponse:
    context = _context(request, organization)
    template = "_catalogue" if is_fragment(request) else "runtimes"
    response = render(request, f"releases/{template}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@scoped(Organization, "organization.view", by="slug")
@require_safe
def report(request: HttpRequest, organization: Organization, version: str) -> HttpResponse:
    release = get_object_or_404(Release.objects.defer("lock"), airflow_version=version)
    context = {
        "organization": organization,
        "release": release,
        "tone": TONES[ReleaseState(release.state)],
        "steps": queries.steps_of(release),
        "is_live": release.state in OPEN,
        "poll_seconds": POLL_SECONDS,
        "can_operate": _is_operator(request),
    }
    template = "_report" if is_fragment(request) else "report"
    response = render(request, f"releases/{template}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@operator_only
@require_POST
def check(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    feed.look(now=now)
    found = index.look(now=now)
    shelf.write()
    words = f"{found} new release{'' if found == 1 else 's'} found." if found else "Nothing new."
    messages.info(request, words)
    return _back(request)


@operator_only
@require_POST
def try_again(request: HttpRequest, version: str) -> HttpResponse:
    release = get_object_or_404(Release, airflow_version=version)
    if trial.try_again(release):
        messages.success(request, f"Airflow {version} is tested again.")
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    """Return to the runtimes of the organization from whose page the form came, if it may be seen.
    Releases belong to the installation, so the address names none.
    """
    seen = Organization.objects.visible_to(request.user)
    organization = seen.filter(slug=request.POST.get("organization", "")[:100]).first()
    if organization is None:
        return redirect("portal:home")
    return redirect("releases:runtimes", organization.slug)


def _context(request: HttpRequest, organization: Organization) -> dict[str, Any]:
    now = timezone.now()
    rows = queries.catalogue_rows(organization=organization, user=request.user, today=now.date())
    found, sources = queries.open_releases(), queries.sources()
    used = [row for row in rows if row.n_deployments]
    return {
        "organization": organization,
        "rows": rows,
        "releases": [{"release": one, "tone": TONES[ReleaseState(one.state)]} for one in found],
        "n_deployments": sum(row.n_deployments for row in used),
        "n_versions": len(used),
        "n_upgrades": sum(row.n_deployments for row in used if not row.is_offered),
        "index": sources.get("index"),
        "feed": sources.get("feed"),
        "is_index_stale": queries.is_stale(sources.get("index"), now=now),
        "is_live": any(one.state in OPEN for one in found),
        "poll_seconds": POLL_SECONDS,
        "can_operate": _is_operator(request),
    }


def _is_operator(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_operator", False))
