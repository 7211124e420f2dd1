"""Where rules, channels and silences belong, as clients name it: `entityType` and `entityId`."""

from typing import Any

from django.db.models import Q

from apps.access.scoped import require
from apps.alerts.pages.parts import MANAGE_WORKSPACE, permission_in
from apps.alerts.pages.queries import SEE
from apps.alerts.places import Place, Placed
from apps.api.wire.errors import NotHere, or_404
from apps.api.wire.finding import visible
from apps.api.wire.gates import Call
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment, Phase
from apps.organizations.models import Workspace

MANAGE_ORGANIZATION = "organization.alerts.manage"


def managed_place(
    request: Call, entity_type: str, entity_id: str
) -> tuple[Place, Deployment | None]:
    """Find the place that a client names, and the Deployment where it names one: its workspace is
    the place then. Raises NotHere, PermissionMissing, and Invalid for another type.
    """
    kind, deployment = entity_type.upper(), None
    if kind == "ORGANIZATION":
        place: Place = request.organization
        if number_of("organization", entity_id) != place.pk:
            raise NotHere
    elif kind == "WORKSPACE":
        place = visible(request, Workspace, entity_id)
    elif kind == "DEPLOYMENT":
        deployment = _deployment(request, entity_id)
        place = deployment.workspace
    else:
        raise Invalid("Send ORGANIZATION, WORKSPACE or DEPLOYMENT.", field="entityType")
    may_manage(request, place)
    return place, deployment


def may_manage(request: Call, place: Place) -> None:
    """Raise PermissionMissing unless the caller manages alerts of a place."""
    require(user=request.caller.user, permission=permission_in(place), on=place)


def managed(request: Call) -> Q:
    """Return the condition on rows of the places whose alerts the caller manages."""
    user, organization = request.caller.user, request.organization
    workspaces = Workspace.objects.allowing(user, MANAGE_WORKSPACE)
    found = Q(workspace__in=workspaces.filter(organization=organization).values("pk"))
    if user.has_perm(MANAGE_ORGANIZATION, organization):
        found |= Q(organization=organization, workspace=None)
    return found


def seen(request: Call) -> Q:
    """Return the condition on rows of the places that the caller sees."""
    user, organization = request.caller.user, request.organization
    workspaces = Workspace.objects.visible_to(user).filter(organization=organization)
    found = Q(workspace__in=workspaces.values("pk"))
    if user.has_perm("organization.view", organization):
        found |= Q(organization=organization, workspace=None)
    return found


def entity_of(row: Placed, deployment: Deployment | None = None) -> dict[str, Any]:
    """Describe where a row belongs, for the shapes."""
    shape = {"organization_id": public_id("organization", row.organization_id)}
    if row.workspace is not None:
        shape["workspace_id"] = public_id("workspace", row.workspace.pk)
    on: Any = deployment or row.place
    kind = type(on).access_scope
    if kind == "deployment":
        shape["deployment_id"] = public_id("deployment", on.pk)
    return shape | {
        "entity_type": kind.upper(),
        "entity_id": public_id(kind, on.pk),
        "entity_name": on.name,
    }


def _deployment(request: Call, text: str) -> Deployment:
    rows = Deployment.objects.allowing(request.caller.user, SEE).filter(phase=Phase.ACTIVE)
    rows = rows.filter(workspace__organization=request.organization)
    found = rows.select_related("workspace__organization")
    return or_404(found.filter(pk=number_of("deployment", text)).first())
