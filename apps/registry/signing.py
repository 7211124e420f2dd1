"""The keys that sign tokens for the registry, and the tokens.

A registry trusts certificates, which it reads at its start. So a key is replaced in two steps: make
the next one and give the registry both certificates, then switch.
"""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import cast

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.db import transaction

from apps.core.encryption.keys import key_ring
from apps.core.errors import Conflict
from apps.deployments.secrets.keys import SealedColumn
from apps.registry.models import RegistryKey

TOKEN_SECONDS = 300
# Clocks of other machines are behind by this much at most.
SKEW_SECONDS = 60
KEY_BITS = 2048
CERTIFICATE_DAYS = 3_650
ALGORITHM = "RS256"
SEALED_KEY = SealedColumn(RegistryKey, "private_key", attrgetter("identity"))


@dataclass(frozen=True)
class Access:
    """What a token allows on one repository: some of `pull` and `push`."""

    repository: str
    actions: tuple[str, ...]


def signed_token(*, subject: str, access: Iterable[Access], now: datetime) -> str:
    """Return a token that the registry believes for five minutes.

    Its certificate is in the header, as the registry looks for no other hint. Source: Token
    Authentication Implementation, Distribution registry.
    """
    key = current_key()
    seconds = int(now.timestamp())
    claims = {
        "iss": settings.PORTAL_URL,
        "sub": subject,
        "aud": settings.REGISTRY,
        "iat": seconds,
        "nbf": seconds - SKEW_SECONDS,
        "exp": seconds + TOKEN_SECONDS,
        "jti": secrets.token_hex(16),
        "access": [
            {"type": "repository", "name": one.repository, "actions": list(one.actions)}
            for one in access
        ],
    }
    return jwt.encode(claims, _private(key), ALGORITHM, headers={"x5c": [_der(key)]})


def current_key() -> RegistryKey:
    """Return the key that signs; the first is made when it is needed. Raises SecretUnreadable when
    it is opened without the encryption key it was sealed with.
    """
    found = RegistryKey.objects.filter(is_current=True).first()
    return found or _made(is_current=True)


def bundle() -> str:
    """Return the certificates that the registry is to trust, as PEM."""
    current_key()
    keys = RegistryKey.objects.order_by("-is_current")
    return "".join(key.certificate for key in keys)


def prepare_next_key() -> None:
    """Make the key that will sign after a switch, if there is none yet."""
    current_key()
    if not RegistryKey.objects.filter(is_current=False).exists():
        _made(is_current=False)


@transaction.atomic
def switch_to_next_key() -> None:
    """Sign with the next key from now on, and delete the present one. Raises Conflict without a
    next key.
    """
    keys = {key.is_current: key for key in RegistryKey.objects.select_for_update()}
    if False not in keys:
        raise Conflict("There is no next key. Make one first, and give the registry the bundle.")
    if True in keys:
        keys[True].delete()
    keys[False].is_current = True
    keys[False].save(update_fields=["is_current"])


def _made(*, is_current: bool) -> RegistryKey:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    row = RegistryKey(certificate=_certificate(private))
    row.private_key = key_ring().seal(value=pem.decode(), identity=row.identity)
    values = {"id": row.id, "private_key": row.private_key, "certificate": row.certificate}
    # Another process may have made one meanwhile: then both use that.
    return RegistryKey.objects.get_or_create(is_current=is_current, defaults=values)[0]


def _certificate(private: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Astro Portal registry tokens")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=CERTIFICATE_DAYS),
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _private(key: RegistryKey) -> rsa.RSAPrivateKey:
    pem = key_ring().open(sealed=bytes(key.private_key), identity=key.identity)
    return cast(rsa.RSAPrivateKey, load_pem_private_key(pem.encode(), password=None))


def _der(key: RegistryKey) -> str:
    certificate = x509.load_pem_x509_certificate(key.certificate.encode())
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
