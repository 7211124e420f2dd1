from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.clusters.connections.instructions import ROLE_FILE, commands_for, manifest_for
from apps.clusters.connections.services import check_cluster
from apps.clusters.connections.storage import is_lost, is_running, request_storage_test
from apps.clusters.forms.namespaces import NamespacesField
from apps.clusters.images import unremoved_images
from apps.clusters.models import Cluster
from apps.clusters.queries import (
    TONES,
    clusters_of,
    count_by_tone,
    deployments_on,
    permission_rows,
    same_clusters,
    state_of,
    with_tone,
)
from apps.clusters.views.parts import MANAGE, cluster_called, kubernetes_called, page_of
from apps.core.errors import PortalError
from apps.core.web.htmx import is_fragment
from apps.core.web.own_addresses import address_with
from apps.organizations.models import Organization

PAGE_SIZE = 50
MOST_DEPLOYMENTS = 10


@scoped(Organization, "organization.clusters.view", by="slug")
@require_safe
def cluster_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    now, search = timezone.now(), request.GET.get("q", "").strip()[:100]
    tone = request.GET.get("state", "")
    found = with_tone(clusters_of(organization=organization), now=now)
    if search:
        found = found.filter(Q(name__icontains=search) | Q(server__icontains=search))
    counts = count_by_tone(found)
    if tone in TONES:
        found = found.filter(tone=tone)
    pages = Paginator(found, PAGE_SIZE)
    # Counted already.
    pages.count = counts[tone] if tone in TONES else sum(counts.values())
    page = pages.get_page(request.GET.get("page"))
    context = {
        "organization": organization,
        "search": search,
        "tally": _tally(request, counts, tone),
        "is_none_yet": not search and not sum(counts.values()),
        "page_obj": page,
        "rows": [(cluster, state_of(cluster, now=now)) for cluster in page],
        "denial": denial_for(user=request.user, permission=MANAGE, on=organization),
    }
    return render(request, "clusters/list.html", context)


@scoped(Organization, "organization.clusters.view", by="slug")
@require_safe
def cluster_page(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = cluster_called(organization, cluster_id)
    return render(request, "clusters/cluster.html", _overview(request, cluster))


@scoped(Organization, "organization.clusters.manage", by="slug")
@require_POST
def check(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = cluster_called(organization, cluster_id)
    found = check_cluster(actor=request_user(request), cluster=cluster)
    if is_fragment(request):
        cluster = cluster_called(organization, cluster_id)
        return render(request, "clusters/_cluster.html", _overview(request, cluster))
    if found.is_usable:
        messages.success(request, f"{cluster} has all that Deployments need.")
    else:
        messages.warning(request, f"{cluster} is not ready. The page says what is missing.")
    return redirect("clusters:cluster", organization.slug, cluster.pk)


@scoped(
    Organization,
    "organization.clusters.view",
    by="slug",
    writing="organization.clusters.manage",
)
@require_http_methods(["GET", "HEAD", "POST"])
def storage(request: HttpRequest, organization: Organization, cluster_id: int) -> HttpResponse:
    cluster = kubernetes_called(organization, cluster_id)
    if request.method == "POST":
        try:
            request_storage_test(actor=request_user(request), cluster=cluster, now=timezone.now())
        except PortalError as error:
            messages.warning(request, error.message)
    if is_fragment(request):
        context = {**page_of(request, cluster, tab="cluster"), **_storage(cluster)}
        return render(request, "clusters/_storage.html", context)
    return redirect("clusters:cluster", organization.slug, cluster.pk)


@scoped(Organization, "organization.clusters.view", by="slug")
@require_safe
def manifest(request: HttpRequest, organization: Organization) -> HttpResponse:
    chosen = request.GET.get("cluster", "")
    cluster = cluster_called(organization, int(chosen)) if chosen.isdecimal() else Cluster()
    namespaces = cluster.named_namespaces
    if "namespaces" in request.GET:
        namespaces = tuple(_asked_namespaces(request.GET["namespaces"]))
    text = manifest_for(cluster.cloud, namespaces)
    response = HttpResponse(text, content_type="application/yaml")
    response["Content-Disposition"] = f'attachment; filename="{ROLE_FILE}"'
    return response


def _asked_namespaces(text: str) -> list[str]:
    try:
        return NamespacesField().clean(text.replace(",", " ")).split()
    except ValidationError as error:
        raise BadRequest(error.messages[0]) from None


def _tally(request: HttpRequest, counts: Mapping[str, int], current: str) -> list[dict[str, Any]]:
    """Return the counts that filter the list."""
    shown = {"": sum(counts.values()), **counts}
    return [
        {
            "label": TONES.get(tone, "All"),
            "tone": tone,
            "count": count,
            "url": address_with(request, state=tone),
            "is_current": tone == current,
        }
        for tone, count in shown.items()
        if count or tone in ("", current)
    ]


def _overview(request: HttpRequest, cluster: Cluster) -> dict[str, Any]:
    rows = permission_rows(cluster)
    running = deployments_on(cluster=cluster)
    there = running.visible_to(request.user)
    return {
        **page_of(request, cluster, tab="cluster"),
        "is_overview": True,
        "unremoved": unremoved_images(cluster),
        "is_unused": not running.exists(),
        "fault_tone": "warn" if cluster.is_usable else "bad",
        "same": same_clusters(cluster),
        "findings": cluster.check_result.get("findings", []),
        "permissions": rows,
        "is_lacking": any(row["missing"] for row in rows)
        or bool(cluster.cloud and not cluster.is_usable),
        "deployments": there[:MOST_DEPLOYMENTS],
        "deployment_count": there.count(),
        "commands": commands_for(cluster.cloud),
        "manifest": manifest_for(cluster.cloud, cluster.named_namespaces),
        **_storage(cluster),
    }


def _storage(cluster: Cluster) -> dict[str, Any]:
    now, test = timezone.now(), cluster.storage_test
    return {
        "storage_findings": test.get("findings", []),
        "storage_ended_at": parse_datetime(test.get("ended_at", "")),
        "is_storage_running": is_running(cluster, now=now),
        "is_storage_lost": is_lost(cluster, now=now),
    }
