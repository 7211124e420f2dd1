"""What an image of people's own, brought by a deploy, makes of the configuration."""

from dataclasses import asdict, replace
from typing import Any

from django.utils import timezone

from apps.deployments.configuration.options import DeploymentOptions, deployment_options
from apps.deployments.configuration.schema import Configuration, OwnImage
from apps.deployments.models import Deployment, Revision


def image_json(image: OwnImage | None) -> dict[str, Any]:
    """Return an image as `Deploy.image` keeps it; empty for that of the runtime."""
    return asdict(image) if image else {}


def image_digest_of(revision: Revision) -> str:
    """Return the digest of the image of people's own that a revision runs, empty without one."""
    image = revision.configuration.image
    return image.digest if image else ""


def with_image(deployment: Deployment, image: dict[str, Any] | None) -> Configuration | None:
    """Return the configuration that runs an image, with the runtime that has its Airflow; None
    where the image stays. Needs `wanted` and `cluster`.
    """
    wanted = deployment.wanted
    if image is None or wanted is None:
        return None
    before = wanted.configuration
    if not image:
        return replace(before, image=None)
    found = OwnImage(**image)
    options = deployment_options(cluster=deployment.cluster, today=timezone.now().date())
    return replace(before, image=found, runtime=_runtime_for(found, before, options))


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
