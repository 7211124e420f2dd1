"""Removing an image with packages from the registry of a cluster. The portal does it itself."""

import requests

from apps.core.errors import PortalError
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.registration.images.registry_calls import (
    RegistryFailed,
    ask,
    registry_session,
)

ACTIONS = "pull,push,delete"
GONE = 404
# What a registry answers that keeps all, by its settings or to this user.
NOT_ALLOWED = (401, 403, 405)


def remove_image(config: ClusterConfig, *, image: str) -> None:
    """Delete the manifest of an image, which is `repository@digest`; see `SupportsImageRemoval`.
    The registry frees the room when it collects its garbage.
    """
    registry = config.registry
    repository, _, digest = image.partition("@")
    if registry is None or repository != registry.repository:
        raise Permanent("The image is in a registry that this cluster does not have any more.")
    path = repository.partition("/")[2]
    url = f"https://{registry.host}/v2/{path}/manifests/{digest}"
    try:
        with registry_session(registry, config.connection.networks or ()) as session:
            ask(session, registry, "DELETE", url, actions=ACTIONS)
    except RegistryFailed as failed:
        _judge(failed)
    except PortalError as refused:
        raise Permanent(refused.message) from refused
    except requests.RequestException:
        raise Temporary("The registry of this cluster does not answer the portal.") from None


def _judge(failed: RegistryFailed) -> None:
    if failed.status == GONE:
        return
    if failed.status in NOT_ALLOWED:
        raise Permanent(
            "The registry of this cluster does not let the portal remove images. Allow it there, "
            "or remove them by the registry's own rules."
        )
    raise Temporary(f"The registry of this cluster removed no image. {failed}")
