from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.access.queries import explain_denial
from apps.access.scoped import scoped
from apps.deployments.models import Deployment, Phase
from apps.deployments.pages.queries import secrets_of
from apps.deployments.reconciling.shared_values import is_delivered
from apps.environment.delivery.effective import Effective, effective_objects
from apps.environment.objects.models import EnvironmentObject, Kind
from apps.environment.objects.queries import (
    Wanted,
    deployments_in,
    link_words,
    listed,
)
from apps.environment.pages.parts import (
    DEPLOY,
    MANAGE_DEPLOYMENT,
    MANAGE_WORKSPACE,
    VIEW_DEPLOYMENT,
    VIEW_WORKSPACE,
    address,
)
from apps.organizations.models import Workspace

PAGE_SIZE = 50
ICONS = {
    Kind.CONNECTION: "database",
    Kind.VARIABLE: "settings",
    Kind.ENVIRONMENT: "terminal",
    Kind.BACKEND: "lock",
}


@scoped(Workspace, VIEW_WORKSPACE, by="slug")
@require_safe
def workspace(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """List what a workspace's Deployments share."""
    wanted = _wanted(request)
    deployments = list(deployments_in(workspace))
    page = Paginator(listed(workspace, wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    can_manage = request.user.has_perm(MANAGE_WORKSPACE, workspace)
    rows = [_row(one, len(deployments), workspace, can_manage) for one in page.object_list]
    context = {
        "workspace": workspace,
        "place": workspace,
        "wanted": wanted,
        "page_obj": page,
        "rows": rows,
        "kinds": Kind.choices,
        "deployments": deployments,
        "is_none_yet": not rows and not wanted.is_narrow and page.number == 1,
        "can_manage": can_manage,
        "advice": None if can_manage else _advice(MANAGE_WORKSPACE, workspace),
        "urls": _new_urls(workspace),
    }
    return render(request, "environment/workspace.html", context)


@scoped(Deployment, VIEW_DEPLOYMENT, by="ref")
@require_safe
def deployment(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Show what the Airflow of a Deployment gets: of its revision, of its own, of the workspace."""
    configuration = deployment.wanted.configuration if deployment.wanted else None
    secrets = secrets_of(deployment)
    variables = configuration.variables if configuration else ()
    can_update = request.user.has_perm(MANAGE_DEPLOYMENT, deployment)
    can_manage = request.user.has_perm(MANAGE_WORKSPACE, deployment.workspace)
    own = {variable.key for variable in variables}
    context = {
        "deployment": deployment,
        "rows": [
            {"variable": variable, "secret": secrets.get(variable.secret_id)}
            for variable in variables
        ],
        "objects": [
            _effective_row(one, deployment, own, can_update, can_manage)
            for one in effective_objects(deployment)
        ],
        "can_update": can_update,
        "is_changeable": can_update and deployment.phase == Phase.ACTIVE,
        "can_test": request.user.has_perm(DEPLOY, deployment),
        "is_delivered": is_delivered(deployment),
        "urls": _new_urls(deployment),
        "workspace_url": address(deployment.workspace)
        if request.user.has_perm(VIEW_WORKSPACE, deployment.workspace)
        else "",
    }
    return render(request, "environment/deployment.html", context)


def _wanted(request: HttpRequest) -> Wanted:
    get = request.GET.get
    kind, linked = get("kind", ""), get("linked", "")
    return Wanted(
        text=get("q", "").strip()[:200],
        kind=kind if kind in Kind.values else "",
        deployment=get("deployment", "")[:40],
        linked=linked if linked in ("all", "some", "none") else "",
    )


def _row(one: EnvironmentObject, total: int, place: Workspace, can_manage: bool) -> dict[str, Any]:
    where, names = link_words(one, total)
    links: list[Any] = one.all_links  # type: ignore[attr-defined]  # prefetched
    return {
        "object": one,
        "icon": "lock" if one.is_secret else ICONS[Kind(one.kind)],
        "url": address(place, "object", one.pk) if can_manage else "",
        "where": where,
        "names": names,
        "overridden": [link.deployment.name for link in links if link.overrides],
    }


def _effective_row(
    one: Effective, deployment: Deployment, own: set[str], can_update: bool, can_manage: bool
) -> dict[str, Any]:
    source, url = one.source, ""
    if one.is_own and can_update:
        url = address(deployment, "object", source.pk)
    elif not one.is_own and can_manage:
        url = address(deployment.workspace, "object", source.pk)
    return {
        "object": source,
        "icon": "lock" if source.is_secret else ICONS[Kind(source.kind)],
        "is_own": one.is_own,
        "is_overridden": one.link is not None and one.link.overrides,
        # The revision's own variable of that name wins.
        "is_hidden": source.kind == Kind.ENVIRONMENT and source.name in own,
        "url": url,
    }


def _advice(permission: str, on: Workspace) -> dict[str, Any]:
    denial = explain_denial(permission=permission, on=on)
    roles = " or ".join(denial.roles[:2])
    return {"role": roles, "people": [str(person) for person in denial.grantors]}


def _new_urls(place: Workspace | Deployment) -> dict[str, str]:
    return {
        "types": address(place, "types"),
        "import": address(place, "import"),
        "export": address(place, "export"),
        "variable": address(place, "new_object", Kind.VARIABLE),
        "environment": address(place, "new_object", Kind.ENVIRONMENT),
        "backend": f"{address(place, 'types')}?kind={Kind.BACKEND}",
    }
