from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core.encryption.crypto import KeyRing


def key_ring() -> KeyRing:
    """Return the keys that open secrets; a portal without them must not write a secret."""
    ring: KeyRing | None = settings.ENCRYPTION_KEYS
    if ring is None:
        raise ImproperlyConfigured("PORTAL_ENCRYPTION_KEYS must be set: secrets cannot be sealed.")
    return ring
