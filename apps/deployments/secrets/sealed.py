"""Secrets at rest: sealed with the key ring, bound to their row, opened only to be applied."""

import json
import secrets
import uuid

from cryptography.fernet import Fernet

from apps.core.encryption.keys import key_ring
from apps.dataplane.spec import AirflowSecrets
from apps.deployments.models import Deployment, SecretValue
from apps.organizations.models import Workspace


def new_secret_value(*, workspace: Workspace, value: str) -> SecretValue:
    """Return an unsaved row that holds the value sealed."""
    row = SecretValue(id=uuid.uuid4(), workspace=workspace)
    row.sealed = key_ring().seal(value=value, identity=row.identity)
    return row


def open_secret_value(row: SecretValue) -> str:
    """Return the value in plaintext; raises SecretUnreadable."""
    return key_ring().open(sealed=bytes(row.sealed), identity=row.identity)


def airflow_identity(deployment_id: int) -> str:
    """Return the identity that the sealed secrets of one Airflow are bound to."""
    return f"deployments.deployment|{deployment_id}|airflow_secrets"


def new_airflow_secrets(*, deployment_id: int, fernet_key: str = "") -> bytes:
    """Make the secrets of one Airflow, once in its life, and return them sealed. Its Fernet key may
    be that of another Airflow, whose database it gets.

    Airflow signs its tokens with HS512, which wants a key of at least 64 bytes.
    """
    plain = {
        "fernet_key": fernet_key or Fernet.generate_key().decode(),
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret_key": secrets.token_urlsafe(48),
    }
    return key_ring().seal(value=json.dumps(plain), identity=airflow_identity(deployment_id))


def open_airflow_secrets(deployment: Deployment) -> AirflowSecrets:
    """Return the secrets of one Airflow in plaintext; raises SecretUnreadable."""
    sealed = bytes(deployment.airflow_secrets or b"")
    plain = key_ring().open(sealed=sealed, identity=airflow_identity(deployment.pk))
    return AirflowSecrets(**json.loads(plain))
