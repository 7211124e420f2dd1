"""Images of people's own: looked up in their registry before a configuration names them."""

from apps.core.encryption.crypto import SecretUnreadable
from apps.core.errors import Invalid
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets.image_pulling import credential_for
from apps.own_images.inspection import find_image


def look_up_image(
    *, name: str, secret: SecretValue | None, deployment: Deployment | None
) -> OwnImage:
    """Ask the registry what an image is. `secret` is its pull secret, `deployment` None for a new
    one. It takes 20 seconds at most.

    Raises Invalid, with the field "image" and what to do.
    """
    try:
        credential = credential_for(name=name, secret=secret, deployment=deployment)
    except SecretUnreadable:
        message = "The pull secret of the image cannot be decrypted. Enter it again."
        raise Invalid(message, field="image") from None
    found = find_image(name=name, credential=credential)
    return OwnImage(
        name=name,
        digest=found.digest,
        airflow_version=found.airflow_version,
        python_version=found.python_version,
        secret_id=str(secret.pk) if secret else "",
    )
