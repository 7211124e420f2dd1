"""Certificates, tokens and kubeconfigs of clusters that do not exist."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.clusters.connections import sealed
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.organizations.models import Organization

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SERVER = "https://10.20.30.40:6443"  # an address needs no look-up
CANARY = "canary-7d1f-never-shown"


@cache
def private_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def certificate(name: str = "ca", *, days: int = 365 * 20, key: str = "") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key(key or name).public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=4000))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(private_key(name), hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(name: str, *, password: bytes = b"") -> str:
    protection: Any = serialization.NoEncryption()
    if password:
        protection = serialization.BestAvailableEncryption(password)
    return (
        private_key(name)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        .decode()
    )


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    ]
    return ".".join([*encoded, CANARY])


def document(*, cluster: dict[str, Any] | None = None, user: Any = None) -> dict[str, Any]:
    """Return a good kubeconfig with one context; `cluster` and `user` change its fields."""
    fields = {"server": SERVER, "certificate-authority-data": b64(certificate())}
    fields |= cluster or {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {k: v for k, v in fields.items() if v is not None}}],
        "users": [{"name": "u", "user": {"token": CANARY} if user is None else user}],
    }


def kubeconfig(**changes: Any) -> str:
    return yaml.safe_dump(document(**changes))


def registered(organization: Organization, **fields: Any) -> Cluster:
    """Make the row of a Kubernetes cluster that passed its test."""
    cluster = Cluster(
        **{
            "organization": organization,
            "kind": Cluster.Kind.KUBERNETES,
            "name": "eu-1",
            "server": SERVER,
            "ca_certificate": certificate(),
            "credential_kind": Cluster.CredentialKind.TOKEN,
            "credential_set_at": NOW,
            "version": "v1.37.2",
            "checked_at": NOW,
            "seen_at": NOW,
            "check_result": {"is_usable": True, "version": "v1.37.2", "findings": []},
            **fields,
        }
    )
    connection = Connection(server=SERVER, ca_certificate=certificate(), token=CANARY)
    sealed.seal_credential(cluster, connection)
    cluster.save(force_insert=True)
    return cluster
