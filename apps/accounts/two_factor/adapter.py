"""Authenticator apps, passkeys and recovery codes, kept by allauth, their secrets sealed."""

import base64
from typing import Any
from urllib.parse import urlsplit

import qrcode
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.utils.html import format_html

from apps.core.encryption.crypto import KeyRing, SecretUnreadable, key_id_of
from apps.core.encryption.keys import key_ring

# allauth seals before it knows the row, so these secrets are bound to their purpose alone.
IDENTITY = "accounts.second_factor"
# Where allauth keeps the secret of each kind; of a passkey there is only the public key.
SEALED_FIELD = {"totp": "secret", "recovery_codes": "seed"}


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth is untyped
    """Second factors as the portal wants them: sealed, and drawn without inline style."""

    def encrypt(self, text: str) -> str:
        return _to_text(key_ring().seal(value=text, identity=IDENTITY))

    def decrypt(self, encrypted_text: str) -> str:
        return key_ring().open(sealed=_from_text(encrypted_text), identity=IDENTITY)

    def build_totp_svg(self, url: str) -> str:
        code = qrcode.QRCode(border=4)
        code.add_data(url)
        rows = code.get_matrix()
        dots = [(x, y) for y, row in enumerate(rows) for x, dark in enumerate(row) if dark]
        return format_html(
            '<svg class="qr" role="img" aria-label="QR code for an authenticator app" '
            'viewBox="0 0 {0} {0}" shape-rendering="crispEdges"><path d="{1}"/></svg>',
            len(rows),
            "".join(f"M{x} {y}h1v1h-1z" for x, y in dots),
        )

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Any) -> str:
        earlier = Authenticator.objects.filter(user_id=user.pk, type=type)
        return f"Passkey {earlier.count() + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return whom passkeys are for: the host of PORTAL_URL. That of the request is what the
        client wrote.
        """
        return {"id": urlsplit(settings.PORTAL_URL).hostname or "", "name": "Astro Portal"}


def unreadable_key_ids(*, ring: KeyRing) -> list[str]:
    """List the keys of second factors that the ring cannot open. One row per key is tried."""
    samples = {key_id_of(sealed): sealed for sealed in _sealed_values()}
    return sorted(key_id for key_id, sealed in samples.items() if not _opens(ring, sealed))


def rewrap(*, ring: KeyRing) -> int:
    """Seal the data keys of second factors with the current key; return how many that took.

    Safe to repeat and to interrupt. Raises SecretUnreadable.
    """
    keys = Authenticator.objects.filter(type__in=SEALED_FIELD).values_list("pk", flat=True)
    return sum(_rewrap_row(pk, ring) for pk in list(keys))


@transaction.atomic
def _rewrap_row(pk: int, ring: KeyRing) -> int:
    # Locked: using a recovery code writes the same column.
    row = Authenticator.objects.select_for_update().filter(pk=pk).first()
    if row is None:
        return 0
    field = SEALED_FIELD[row.type]
    before = _from_text(row.data[field])
    after = ring.rewrap(sealed=before, identity=IDENTITY)
    if after == before:
        return 0
    row.data[field] = _to_text(after)
    row.save(update_fields=["data"])
    return 1


def _sealed_values() -> list[bytes]:
    rows = Authenticator.objects.filter(type__in=SEALED_FIELD).values_list("type", "data")
    return [_from_text(data[SEALED_FIELD[type]]) for type, data in rows]


def _opens(ring: KeyRing, sealed: bytes) -> bool:
    try:
        ring.open(sealed=sealed, identity=IDENTITY)
    except SecretUnreadable:
        return False
    return True


def _to_text(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode()


def _from_text(text: str) -> bytes:
    return base64.b64decode(text)
