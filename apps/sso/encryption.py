"""The key pair of a SAML connection, with which an identity provider may encrypt assertions."""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.utils import timezone

from apps.core.encryption.keys import key_ring
from apps.sso.models import SSOConnection

# Identity providers encrypt for the key and mostly do not look at the date.
CERTIFICATE_LIFE = timedelta(days=3650)


def add_encryption_key(connection: SSOConnection) -> None:
    """Give an unsaved connection a key pair, unless it has one. The private key is sealed."""
    if connection.encryption_key:
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, connection.key)])
    now = timezone.now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CERTIFICATE_LIFE)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    connection.encryption_key = key_ring().seal(
        value=text, identity=connection.identity("encryption_key")
    )
    connection.encryption_certificate = certificate.public_bytes(
        serialization.Encoding.PEM
    ).decode()


def encryption_key_of(connection: SSOConnection) -> str:
    """Return the private key in PEM, "" when the connection has none."""
    if not connection.encryption_key:
        return ""
    return key_ring().open(
        sealed=bytes(connection.encryption_key), identity=connection.identity("encryption_key")
    )
