"""What a call names beside its address, as far as its caller may see it."""

from typing import Any

from apps.api.wire.errors import NotHere
from apps.api.wire.gates import DEPLOYMENT_PARTS, Call
from apps.core.public_ids import number_of
from apps.deployments.models import Deployment, Phase
from apps.deploys.deliveries.queries import with_delivery
from apps.organizations.models import Workspace


def visible(request: Call, model: Any, text: str) -> Any:
    """Find an object of the organization that the caller sees. Raises NotHere."""
    path = model.access_paths["organization"]
    above = [one for one in model.access_paths.values() if one]
    seen = model.objects.visible_to(request.caller.user).select_related(*above)
    number = number_of(model.access_scope, text)
    found = seen.filter(pk=number, **{path: request.organization}).first()
    if found is None or getattr(found, "phase", "") == Phase.DELETED:
        raise NotHere
    return found


def place_of(request: Call, workspace_id: str, deployment_id: str = "") -> Any:
    """Return what a call is about: a Deployment, a workspace, or else the organization. Raises
    NotHere.
    """
    for model, text in ((Deployment, deployment_id), (Workspace, workspace_id)):
        if text:
            return visible(request, model, text)
    return request.organization


def read_again(deployment: Deployment) -> Deployment:
    """Read a Deployment that was changed, with all that its shape needs."""
    rows = Deployment.objects.select_related("workspace", *DEPLOYMENT_PARTS)
    return with_delivery(rows).get(pk=deployment.pk)
