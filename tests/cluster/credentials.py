"""Keys, tokens and kubeconfigs of one node. All are new at each start."""

import secrets
from datetime import UTC, datetime, timedelta

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.cluster.layout import Layout

USERS = ("admin", "controller-manager", "scheduler", "node")
LIFETIME = timedelta(days=30)


def write_credentials(layout: Layout) -> dict[str, str]:
    """Write everything that names or proves somebody; return the token of each user."""
    _write_account_key(layout)
    _write_front_proxy(layout)
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    rows = [f'{token},{user},{user},"system:masters"\n' for user, token in tokens.items()]
    _write(layout, "tokens.csv", "".join(rows).encode())
    for user, token in tokens.items():
        cluster = {"server": layout.server, "certificate-authority": str(layout.authority)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "node",
            "clusters": [{"name": "node", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "node", "context": {"cluster": "node", "user": user}}],
        }
        _write(layout, layout.kubeconfig(user).name, yaml.safe_dump(config).encode())
    return tokens


def _write_account_key(layout: Layout) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(layout, "accounts.key", _private(key))
    _write(layout, "accounts.pub", public)


def _write_front_proxy(layout: Layout) -> None:
    """The aggregation layer has an authority of its own: by it KEDA knows the API server."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("front-proxy-ca", key, issuer=None)
    _write(layout, "front-proxy-ca.crt", authority.public_bytes(Encoding.PEM))
    client_key = ec.generate_private_key(ec.SECP256R1())
    client = _certificate("front-proxy", client_key, issuer=(authority, key))
    _write(layout, "front-proxy.crt", client.public_bytes(Encoding.PEM))
    _write(layout, "front-proxy.key", _private(client_key))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _private(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(layout: Layout, name: str, content: bytes) -> None:
    path = layout.folder / name
    path.touch(mode=0o600)
    path.write_bytes(content)
