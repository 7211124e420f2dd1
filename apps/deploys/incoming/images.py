"""Deploys of images: pushed to the portal's registry or to another one, then run by digest."""

from django.conf import settings

from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.editing.images import look_up_image
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets.pulling import repository_of
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.models import Upload
from apps.own_images.references import Reference, reference_of


def image_of(upload: Upload) -> Reference:
    """Return which image a deploy brings: the one that it names, or what is to be pushed to the
    portal's registry.
    """
    if upload.image:
        return reference_of(upload.image)
    return Reference(settings.REGISTRY, repository_of(upload.deployment.ref), upload.image_tag)


def ensure_takes_images(*, actor: User, deployment: Deployment, image: str) -> None:
    """Raise Refused where no image can be deployed, and DeployedByAutomation as code does.

    `image` is one of another registry, empty for what will be pushed to the portal's. Raises
    ImageNameWrong for what is no name.
    """
    ensure_may_deliver(actor=actor, deployment=deployment)
    if image:
        reference_of(image)
    if not deployment.cluster.is_kubernetes:
        raise Refused(
            f"{deployment.name} runs on the portal's machine, which runs no images. Deploy its "
            "DAGs with astro deploy --dags, or a project with its requirements."
        )
    if not (settings.REGISTRY or image):
        raise Refused(
            "This portal has no registry to push an image to. Its operator can set one up, or "
            "name an image of another registry."
        )


def look_up_pushed(*, upload: Upload) -> OwnImage:
    """Ask its registry for the image of a deploy, with the pull secret that the Deployment has.
    Raises Conflict where it is not there, or does not fit.
    """
    deployment, name = upload.deployment, image_of(upload).name
    present = deployment.wanted.configuration.image if deployment.wanted else None
    secret_id = present.secret_id if present and upload.image else ""
    secrets = SecretValue.objects.filter(deployment=deployment)
    secret = secrets.filter(pk=secret_id).first() if secret_id else None
    try:
        return look_up_image(name=name, secret=secret, deployment=deployment)
    except Invalid as error:
        raise Conflict(f"The image {name} cannot be deployed. {error.message}") from error
