"""The Fernet key that belongs to a backup: without it, the connections and variables in the dump
could not be read.
"""

from apps.backups.models import Backup
from apps.core.encryption.keys import key_ring
from apps.deployments.models import Deployment
from apps.deployments.secrets.sealed import open_airflow_secrets


def seal_fernet_key(backup: Backup, deployment: Deployment) -> bytes:
    """Return the Fernet key of a Deployment, sealed for this backup. Raises SecretUnreadable."""
    plain = open_airflow_secrets(deployment).fernet_key
    return key_ring().seal(value=plain, identity=backup.identity("sealed"))


def open_fernet_key(backup: Backup) -> str:
    """Return the Fernet key of a backup in plaintext. Raises SecretUnreadable."""
    return key_ring().open(sealed=bytes(backup.sealed or b""), identity=backup.identity("sealed"))
