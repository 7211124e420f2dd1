"""Deploys of images: pushed to the portal's registry, then run by digest."""

from dataclasses import replace

from django.conf import settings
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid, Refused
from apps.deployments.configuration.options import DeploymentOptions, deployment_options
from apps.deployments.configuration.schema import Configuration, OwnImage
from apps.deployments.editing.images import look_up_image
from apps.deployments.editing.services import update_config
from apps.deployments.models import Deployment
from apps.deployments.secrets.pulling import repository_of
from apps.deploys.enforcement import ensure_may_deliver
from apps.deploys.models import Upload


def image_repository(deployment: Deployment) -> str:
    """Return where the images of a Deployment are pushed; empty without a registry."""
    return f"{settings.REGISTRY}/{repository_of(deployment.ref)}" if settings.REGISTRY else ""


def ensure_takes_images(*, actor: User, deployment: Deployment) -> None:
    """Raise Refused where no image can be deployed, and DeployedByAutomation as code does."""
    ensure_may_deliver(actor=actor, deployment=deployment)
    if not deployment.cluster.is_kubernetes:
        raise Refused(
            f"{deployment.name} runs on the portal's machine, which runs no images. Deploy its "
            "DAGs with astro deploy --dags, or a project with its requirements."
        )
    if not settings.REGISTRY:
        raise Refused(
            "This portal has no registry to push an image to. Its operator can set one up, or "
            "name an image of another registry on the page Configure."
        )


def look_up_pushed(*, upload: Upload) -> OwnImage:
    """Ask the registry for the image that was pushed for a deploy. Raises Conflict without one."""
    name = f"{image_repository(upload.deployment)}:{upload.image_tag}"
    try:
        return look_up_image(name=name, secret=None, deployment=upload.deployment)
    except Invalid as error:
        raise Conflict(f"The image {name} cannot be deployed. {error.message}") from error


def deploy_image(*, actor: User, upload: Upload, image: OwnImage) -> None:
    """Run an image that was looked up, with the runtime that has its Airflow.

    Raises StaleBase, InvalidConfiguration, DeployedByAutomation, and Conflict while being deleted.
    """
    deployment = upload.deployment
    ensure_may_deliver(actor=actor, deployment=deployment)
    if deployment.wanted is None:
        raise Conflict(f"{deployment.name} has no revision yet.")
    before = deployment.wanted.configuration
    options = deployment_options(cluster=deployment.cluster, today=timezone.now().date())
    after = replace(before, image=image, runtime=_runtime_for(image, before, options))
    if _is_running(before.image, image):
        return
    update_config(
        actor=actor,
        deployment=deployment,
        configuration=after,
        base_revision_number=deployment.wanted.number,
        reason=upload.description,
    )


def _is_running(before: OwnImage | None, image: OwnImage) -> bool:
    """Whether it is the same image, whatever its tag."""
    return before is not None and before.digest == image.digest


def _runtime_for(image: OwnImage, before: Configuration, options: DeploymentOptions) -> str:
    """Return the runtime with the image's Airflow, preferably the present one. Without any, the
    rules refuse the image.
    """
    fitting = [
        one.version
        for one in options.runtimes
        if one.airflow_version == image.airflow_version
        and (one.is_offered or one.version == before.runtime)
    ]
    return before.runtime if before.runtime in fitting or not fitting else fitting[0]
