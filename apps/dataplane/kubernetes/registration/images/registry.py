"""Whether images can be stored in the registry of a cluster: a small blob is pushed and pulled.

The portal does it, so the answer holds for the portal's own network. Jobs and nodes reach the
registry from theirs; the first project shows it.
"""

import hashlib
from urllib.parse import urlencode, urljoin

import requests

from apps.core.outbound.addresses import AddressRefused, NameUnknown
from apps.dataplane.kubernetes.config import ClusterConfig, Registry
from apps.dataplane.kubernetes.registration.images.registry_calls import (
    MOST_BYTES,
    RegistryFailed,
    ask,
    registry_session,
)
from apps.dataplane.status import Finding

TITLE = "Registry"
BLOB = b"The portal may push here.\n"
DIGEST = f"sha256:{hashlib.sha256(BLOB).hexdigest()}"


def registry_finding(config: ClusterConfig) -> tuple[Finding, ...]:
    """Say whether the portal can push and pull; nothing where the cluster has no registry."""
    registry = config.registry
    if registry is None:
        return ()
    try:
        _try(registry, config.connection.networks or ())
    except RegistryFailed as failed:
        return (_finding(registry, str(failed)),)
    except (AddressRefused, NameUnknown) as refused:
        return (_finding(registry, refused.message),)
    except requests.exceptions.SSLError:
        return (_finding(registry, "Its certificate is not trusted."),)
    except requests.RequestException:
        return (_finding(registry, "It does not answer the portal."),)
    detail = f"The portal can push to {registry.repository} and pull from it."
    return (Finding(title=TITLE, is_ok=True, detail=detail),)


def _finding(registry: Registry, problem: str) -> Finding:
    return Finding(
        title=TITLE,
        is_ok=False,
        detail=f"{registry.repository}: {problem}",
        remedy="Check repository, user, password and CA certificate in the settings. If only the "
        "cluster reaches the registry, projects with packages may work all the same.",
    )


def _try(registry: Registry, networks: tuple[str, ...]) -> None:
    with registry_session(registry, networks) as session:
        path = registry.repository.partition("/")[2]
        base = f"https://{registry.host}/v2/{path}/blobs"
        begun = ask(session, registry, "POST", f"{base}/uploads/")
        place = urljoin(f"https://{registry.host}/", begun.headers.get("Location", ""))
        mark = "&" if "?" in place else "?"
        ask(session, registry, "PUT", f"{place}{mark}{urlencode({'digest': DIGEST})}", BLOB)
        pulled = ask(session, registry, "GET", f"{base}/{DIGEST}")
        # Blobs may lie with a store of objects, which is not asked here.
        if not pulled.is_redirect and pulled.raw.read(MOST_BYTES) != BLOB:
            raise RegistryFailed("It returns another blob than the one that was pushed.")
