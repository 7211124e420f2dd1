"""Who pulls the image of one Deployment: a credential that people entered, or the portal's robot.

What people enter is sealed together with the registry it is for, and sent to no other.
"""

import json

from django.conf import settings
from django.utils import timezone

from apps.core.errors import Invalid
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets import sealed
from apps.deployments.secrets.pulling import (
    ROBOT,
    docker_config,
    period_of,
    pull_config,
    pull_credential,
    repository_of,
)
from apps.own_images.references import HUB, Reference, reference_of
from apps.own_images.registries import Credential

# The name under which clusters look for Docker Hub's.
HUB_KEY = "https://index.docker.io/v1/"
SHARED = "runtime/"


def pull_secret_text(*, name: str, user: str, password: str) -> str:
    """Return what is sealed as the pull secret of an image. Raises ImageNameWrong."""
    registry = reference_of(name).registry
    return json.dumps({"registry": registry, "user": user, "password": password})


def credential_for(
    *, name: str, secret: SecretValue | None, deployment: Deployment | None
) -> Credential | None:
    """Return what the registry of an image is asked with; None: without a credential.

    In the portal's own registry a Deployment runs its own images and the operator's, no others.
    Raises ImageNameWrong, Invalid, SecretUnreadable.
    """
    reference = reference_of(name)
    if _is_ours(reference):
        return _own_credential(reference, deployment)
    return _entered(secret, reference.registry) if secret else None


def pull_secret(*, deployment: Deployment, image: OwnImage | None) -> str:
    """Return the `.dockerconfigjson` that pulls an image; empty where none is needed. Raises
    SecretUnreadable.
    """
    if image is None:
        return ""
    reference = reference_of(image.name)
    if _is_ours(reference):
        return pull_config(ref=deployment.ref, now=timezone.now())
    rows = SecretValue.objects.filter(deployment=deployment)
    row = rows.filter(pk=image.secret_id).first() if image.secret_id else None
    credential = _entered(row, reference.registry) if row else None
    if credential is None:
        return ""
    key = HUB_KEY if reference.registry == HUB else reference.registry
    return docker_config(registry=key, user=credential.user, password=credential.password)


def pull_period(image: OwnImage | None) -> int | None:
    """Return the period of the robot's credential that pulls an image now; None where none does."""
    is_by_robot = image is not None and _is_ours(reference_of(image.name))
    return period_of(timezone.now()) if is_by_robot else None


def _is_ours(reference: Reference) -> bool:
    return bool(settings.REGISTRY) and reference.registry == settings.REGISTRY


def _own_credential(reference: Reference, deployment: Deployment | None) -> Credential:
    is_shared = reference.repository.startswith(SHARED)
    is_own = deployment is not None and reference.repository == repository_of(deployment.ref)
    if deployment is None or not (is_own or is_shared):
        own = repository_of(deployment.ref) if deployment else "deployments/<its ref>, once it is"
        raise Invalid(
            f"In this registry a Deployment runs images of {own} alone. Push the image there.",
            field="image",
        )
    password = pull_credential(ref=deployment.ref, now=timezone.now())
    return Credential(user=ROBOT, password=password)


def _entered(row: SecretValue, registry: str) -> Credential | None:
    """Open what was entered; None for another registry, and for what is no pull secret."""
    try:
        kept = json.loads(sealed.open_secret_value(row))
        user, password = str(kept["user"]), str(kept["password"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Credential(user=user, password=password) if kept.get("registry") == registry else None
