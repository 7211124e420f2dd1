from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apps.accounts.models import User
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment
from apps.deployments.secrets import sealed
from tests.conftest import make_user, put_role, role
from tests.dags.stand_in import Airflow


@pytest.fixture(autouse=True)
def _sign_in_key(settings: Any) -> None:
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()


def new_sign_in_key() -> str:
    """Return a key with which the portal signs people in to Airflows."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def open_secrets(deployment: Deployment) -> Deployment:
    """Give a Deployment the secrets that a call to its Airflow needs."""
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    return deployment


@pytest.fixture
def airflow(deployment: Deployment, plane: type[FakePlane]) -> Airflow:
    """The Airflow of the Deployment, with one DAG."""
    open_secrets(deployment)
    stand_in = Airflow()
    stand_in.add("orders_daily")
    plane.store.respond = stand_in.respond
    return stand_in


@pytest.fixture
def author(deployment: Deployment, organization: Any, workspace: Any) -> User:
    """Amy runs DAGs of the Deployment and may do nothing else to it."""
    user = make_user("Amy")
    put_role(user, role("organization", "member"), organization)
    put_role(user, role("workspace", "author"), workspace)
    return user


@pytest.fixture
def other(make_deployment: Callable[..., Deployment]) -> Deployment:
    return open_secrets(make_deployment(name="other", ref="other-0001"))
