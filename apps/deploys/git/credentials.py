"""Secrets of repositories: sealed in their row, opened only to be used; and new deploy keys."""

import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from apps.core.encryption.keys import key_ring
from apps.deploys.models import GitRepository


def new_key() -> str:
    """Make the key of a repository: 192 random bits, which are in its webhook's address."""
    return secrets.token_urlsafe(24).replace("_", "-").strip("-")


def seal(repository: GitRepository, field: str, value: str) -> None:
    """Put a secret into an unsaved row; an empty value removes it."""
    identity = repository.identity(field)
    setattr(repository, field, key_ring().seal(value=value, identity=identity) if value else None)


def open_secret(repository: GitRepository, field: str) -> str:
    """Return a secret in plaintext, empty where there is none; raises SecretUnreadable."""
    sealed = getattr(repository, field)
    if not sealed:
        return ""
    return key_ring().open(sealed=bytes(sealed), identity=repository.identity(field))


def add_deploy_key(repository: GitRepository, *, comment: str) -> None:
    """Give an unsaved repository a new Ed25519 key pair in the formats of OpenSSH."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    seal(repository, "secret", private)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    repository.public_key = f"{public} {comment}"
