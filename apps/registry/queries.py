"""What the operator has to give to the registry."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.urls import reverse

from apps.registry.models import PushedImage, RegistryKey
from apps.registry.signing import bundle

BUNDLE_PATH = "/etc/docker/registry/portal-bundle.pem"


@dataclass(frozen=True, kw_only=True)
class RegistrySetup:
    """`address` is empty where the portal has no registry; then there is nothing else to show.
    `configuration` is the part of the registry's own configuration that names the portal.
    `unremoved_count` images would be gone, and are not because of `removal_error`.
    """

    address: str
    configuration: str = ""
    certificates: str = ""
    sign_in: str = ""
    signs_since: datetime | None = None
    has_next_key: bool = False
    image_days: int = 0
    unremoved_count: int = 0
    removal_error: str = ""


def registry_setup() -> RegistrySetup:
    """Return what the page for operators shows. The first key is made by it."""
    if not settings.REGISTRY:
        return RegistrySetup(address="")
    certificates = bundle()
    keys = {key.is_current: key for key in RegistryKey.objects.all()}
    unremoved = PushedImage.objects.exclude(removal_error="")
    errors = list(unremoved.order_by("-pk").values_list("removal_error", flat=True))
    return RegistrySetup(
        address=settings.REGISTRY,
        configuration=configuration(),
        certificates=certificates,
        sign_in=f"docker login --username token --password-stdin {settings.REGISTRY}",
        signs_since=keys[True].created_at,
        has_next_key=False in keys,
        image_days=settings.REGISTRY_IMAGE_DAYS,
        unremoved_count=len(errors),
        removal_error=errors[0] if errors else "",
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
