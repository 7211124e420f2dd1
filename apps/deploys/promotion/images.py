"""Images of people's own that go along with a promotion, unchanged and by their digest."""

from dataclasses import replace
from typing import Any

from django.conf import settings

from apps.core.errors import Conflict
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment
from apps.deployments.secrets.pulling import repository_of
from apps.deploys.deliveries.images import image_json
from apps.deploys.models import Deploy
from apps.deploys.promotion.queries import running_revision
from apps.own_images.references import reference_of


class DoesNotFit(Conflict):
    """The code cannot run in the target as it is configured."""


def brought_image(deploy: Deploy, target: Deployment) -> OwnImage | None:
    """Return the image that a promotion brings to the target; None where the source runs that of
    its runtime, or the target has it already. Raises DoesNotFit, with what to do.
    """
    image = running_revision(deploy).configuration.image
    present = target.wanted.configuration.image if target.wanted else None
    if image is None or (present is not None and present.digest == image.digest):
        return None
    if not target.cluster.is_kubernetes:
        raise DoesNotFit(
            f"{deploy.deployment.name} runs the image {image.name}, and {target.name} is on the "
            "portal's machine, which runs no images. Deploy a project with its requirements there."
        )
    if not image.secret_id:
        return image
    if present is None or not present.secret_id or _registry(present) != _registry(image):
        raise DoesNotFit(
            f"The image {image.name} needs a pull secret, which is not promoted. Name an image of "
            f"{_registry(image)} with its user and password in the configuration of {target.name} "
            "first."
        )
    return replace(image, secret_id=present.secret_id)


def image_fields(deploy: Deploy, target: Deployment) -> dict[str, Any]:
    """Return the columns of the deploy that a promotion makes."""
    image = brought_image(deploy, target)
    return {"image": image_json(image)} if image else {}


def repositories_promoted_to(ref: str) -> set[str]:
    """Return the repositories of the portal's registry whose images were promoted to a Deployment,
    which pulls them from there.
    """
    rows = Deploy.objects.filter(deployment__ref=ref, promoted_from__isnull=False)
    prefix = f"{settings.REGISTRY}/{repository_of('')}"
    names = rows.filter(image__name__startswith=prefix).values_list("image__name", flat=True)
    return {reference_of(name).repository for name in names.distinct()}


def _registry(image: OwnImage) -> str:
    return reference_of(image.name).registry
