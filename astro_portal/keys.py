"""The portal's own keys, generated once at its first start."""

import base64
import json
import secrets

import psycopg
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import secret_once, write_private
from astro_portal.env import ConfigurationError, env_secret, env_str


def make_missing_keys(home: Home) -> None:
    """Generate the keys that are neither in the environment nor in the home.

    Raises ConfigurationError when data exist that only a lost encryption key could open.
    """
    if not env_secret("PORTAL_ENCRYPTION_KEYS"):
        _make_encryption_keys(home)
    if not (home.keys / "secret-key").exists():
        write_private(home.keys / "secret-key", secrets.token_urlsafe(50))
    if not (home.keys / "airflow-sign-in.pem").exists():
        write_private(home.keys / "airflow-sign-in.pem", _private_key_pem())
    secret_once(home.keys / "edge-secret")


def _make_encryption_keys(home: Home) -> None:
    file = home.keys / "encryption.json"
    if file.exists():
        return
    if _has_data(home):
        raise ConfigurationError(
            f"The file {file} is missing, and without it the secrets in the database "
            "cannot be read. Restore it from a backup of this folder."
        )
    key_id = f"k{secrets.token_hex(4)}"
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    write_private(file, json.dumps({"current": key_id, "keys": {key_id: key}}))


def _has_data(home: Home) -> bool:
    external = env_str("DATABASE_URL", "")
    if not external:
        return (home.postgres / "PG_VERSION").exists()
    try:
        with psycopg.connect(external, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT to_regclass('django_migrations') IS NOT NULL"
            ).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigurationError(
            f"The database of DATABASE_URL does not answer: {reason}"
        ) from None
    return bool(row and row[0])


def _private_key_pem() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
