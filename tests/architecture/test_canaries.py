"""A secret planted in every place that keeps one; none of them may ever be read again.

Every address is asked as the people and tokens that may do most, by GET and by a POST that says
nothing sensible; then answers, log lines, audit events, their export and messages to jobs are
searched for what was planted.
"""

import json
import logging
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.http import HttpResponseBase

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.audit.services import export_events
from apps.clusters.connections.sealed import seal
from apps.clusters.models import SEALED, Cluster
from apps.core.logs import LineFormatter
from apps.deployments.models import Deployment, Revision
from apps.deployments.secrets import sealed
from apps.sso.connections.services import update_connection
from apps.sso.models import SSOConnection
from tests.architecture.test_permission_matrix import TABLE, Stage, stage  # noqa: F401 - a fixture
from tests.architecture.urls import addresses
from tests.clusters.material import CANARY as CLUSTER_CANARY

pytestmark = pytest.mark.django_db
WHO_MAY_MOST = ("organization owner", "operator", "organization token", "outsider", "anonymous")
GARBAGE = "name=x&role=x&email=x&token=x&protocol=openid_connect&issuer=x&value=x&confirm=x"


def canary(name: str) -> str:
    return f"canary-{name}-4be1-never-shown"


@pytest.fixture
# A fixture of the matrix.
def planted(stage: Stage, deployment: Deployment, organization: Any) -> list[str]:  # noqa: F811
    owner = User.objects.get(email="organization-owner@example.org")
    secrets = [CLUSTER_CANARY]
    secrets += _plant_in_deployment(deployment)
    cluster = Cluster.objects.get(kind=Cluster.Kind.KUBERNETES)
    for field in set(SEALED) - {"credential"}:
        seal(cluster, field, canary(field))
        secrets.append(canary(field))
    cluster.save()
    connection = SSOConnection.objects.get(protocol="openid_connect")
    update_connection(
        actor=owner, connection=connection, client_secret=canary("client"), client_id="portal"
    )
    SSOConnection.objects.update(is_enabled=False)
    secrets.append(canary("client"))
    secrets += [
        client.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        for client in stage.visitors.values()
        if "HTTP_AUTHORIZATION" in client.defaults
    ]
    secrets += [_hash(owner), *stage.tokens.values()]
    return secrets


def _plant_in_deployment(deployment: Deployment) -> list[str]:
    row = sealed.new_secret_value(workspace=deployment.workspace, value=canary("variable"))
    row.deployment = deployment
    row.save()
    deployment.airflow_secrets = sealed.new_airflow_secrets(deployment_id=deployment.pk)
    deployment.save(update_fields=["airflow_secrets"])
    variable = {"key": "ORDERS_PASSWORD", "value": "", "secret_id": str(row.pk)}
    revision = Revision.objects.get(deployment=deployment)
    Revision.objects.update(config=revision.config | {"variables": [variable]})
    opened = sealed.open_airflow_secrets(deployment)
    return [canary("variable"), opened.fernet_key, opened.jwt_secret, opened.api_secret_key]


def _hash(person: AbstractUser) -> str:
    return person.password


def test_no_planted_secret_is_ever_read_again(
    stage: Stage,  # noqa: F811 - a fixture
    planted: list[str],
    organization: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    found: list[str] = []

    def look(where: str, text: str, but: str = "") -> None:
        found.extend(
            f"{where}: a planted secret, of index {number}"
            for number, secret in enumerate(planted)
            if secret and secret in text and secret not in but
        )

    for address in addresses():
        if address.name not in TABLE:
            continue
        path = stage.path(address.name, address.route)
        for visitor in WHO_MAY_MOST:
            client = stage.visitors[visitor]
            # A link's own page may name the link that led there.
            look(f"GET {path} as {visitor}", _text(client.get(path)), but=path)
            look(f"POST {path} as {visitor}", _post(client, path), but=path)
    look("the log", "\n".join(LineFormatter().format(record) for record in caplog.records))
    look("the audit log", json.dumps(list(AuditEvent.objects.values()), default=str))
    owner = User.objects.get(email="organization-owner@example.org")
    exported = export_events(
        actor=owner, organization_id=organization.pk, organization_name="x", filters={}
    )
    look("the export of the audit log", "".join(exported))

    assert found == []


# A fixture of the matrix.
def test_the_search_would_find_one(planted: list[str], stage: Stage) -> None:  # noqa: F811
    assert len(planted) > 12
    assert all(len(secret) > 12 for secret in planted)
    assert CLUSTER_CANARY in planted


def _post(client: Any, path: str) -> str:
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    with transaction.atomic():
        response = client.generic("POST", path, GARBAGE, "application/x-www-form-urlencoded")
        text = _text(response)
        transaction.set_rollback(True)
    client.cookies.clear()
    for name, value in cookies.items():
        client.cookies[name] = value
    return text


def _text(response: HttpResponseBase) -> str:
    body = b"".join(response.streaming_content) if response.streaming else response.content
    headers = "\n".join(f"{name}: {value}" for name, value in response.items())
    return f"{headers}\n{body.decode(errors='replace')}"
