"""What the operator has to give to the registry."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.urls import reverse

from apps.registry.models import RegistryKey
from apps.registry.signing import bundle

BUNDLE_PATH = "/etc/docker/registry/portal-bundle.pem"


@dataclass(frozen=True, kw_only=True)
class RegistrySetup:
    """`address` is empty where the portal has no registry; then there is nothing else to show.
    `configuration` is the part of the registry's own configuration that names the portal.
    """

    address: str
    configuration: str = ""
    certificates: str = ""
    sign_in: str = ""
    signs_since: datetime | None = None
    has_next_key: bool = False


def registry_setup() -> RegistrySetup:
    """Return what the page for operators shows. The first key is made by it."""
    if not settings.REGISTRY:
        return RegistrySetup(address="")
    certificates = bundle()
    keys = {key.is_current: key for key in RegistryKey.objects.all()}
    return RegistrySetup(
        address=settings.REGISTRY,
        configuration=configuration(),
        certificates=certificates,
        sign_in=f"docker login --username token --password-stdin {settings.REGISTRY}",
        signs_since=keys[True].created_at,
        has_next_key=False in keys,
    )


def configuration(*, bundle_path: str = BUNDLE_PATH) -> str:
    """Return the part `auth` of the registry's configuration, as YAML."""
    return (
        "auth:\n"
        "  token:\n"
        f"    realm: {settings.PORTAL_URL}{reverse('registry:token')}\n"
        f"    service: {settings.REGISTRY}\n"
        f"    issuer: {settings.PORTAL_URL}\n"
        f"    rootcertbundle: {bundle_path}\n"
    )
