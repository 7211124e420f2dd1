"""A secret planted in every place that keeps one; none of them may ever be read again.

Every address is asked as the people and tokens that may do most, by GET and by a POST that says
nothing sensible; then answers, log lines, audit events, their export and messages to jobs are
searched for what was planted. The fast tests ask by GET, and as the owner alone.
"""

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.http import HttpResponseBase

from apps.accounts.models import User
from apps.airflow_imports.models import AirflowImport
from apps.airflow_imports.source.sealing import ImportSecrets, seal_secrets
from apps.audit.models import AuditEvent
from apps.audit.services import export_events
from apps.clusters.connections.sealed import seal
from apps.clusters.models import SEALED, Cluster
from apps.core.logs import LineFormatter
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment, Revision
from apps.deployments.secrets import sealed
from apps.deployments.secrets.image_pulling import pull_secret_text
from apps.deploys.git import credentials
from apps.deploys.models import GitRepository
from apps.environment.objects.services import override_object
from apps.object_stores.models import ObjectStore
from apps.object_stores.services import StoreData, save_store
from apps.observability.remote_write.services import Access, save_receiver
from apps.package_indexes.services import IndexData, add_index
from apps.sso.connections.services import update_connection
from apps.sso.models import SSOConnection
from apps.webhooks.hooks.secrets import opened
from tests.alerts.examples import make_channel
from tests.architecture.permission_table import TABLE
from tests.architecture.stage import Stage
from tests.architecture.test_api_matrix import ALL, ids_on
from tests.architecture.urls import addresses
from tests.clusters.material import CANARY as CLUSTER_CANARY
from tests.environment.examples import make_object
from tests.status_pages.examples import make_receiver
from tests.webhooks.examples import make_webhook

pytestmark = pytest.mark.django_db
WHO_MAY_MOST = ("organization owner", "operator", "organization token", "outsider", "anonymous")
GARBAGE = "name=x&role=x&email=x&token=x&protocol=openid_connect&issuer=x&value=x&confirm=x"


def canary(name: str) -> str:
    return f"canary-{name}-4be1-never-shown"


@pytest.fixture
def planted(stage: Stage) -> list[str]:
    deployment = Deployment.objects.get(pk=stage.places["deployment"].pk)
    owner = User.objects.get(email="organization-owner@example.org")
    secrets = [CLUSTER_CANARY]
    secrets += _plant_in_deployment(deployment)
    secrets += _plant_in_environment(stage, owner)
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
    repository = GitRepository.objects.get()
    for field in ("secret", "webhook_secret", "state_token"):
        credentials.seal(repository, field, canary(f"git-{field}"))
        secrets.append(canary(f"git-{field}"))
    repository.save()
    for name in ("slack", "webhook"):
        url = f"https://hooks.example.org/{canary(name)}"
        make_channel(stage.places["workspace"], owner, name, url=url)
        secrets.append(canary(name))
    url = f"https://hooks.example.org/{canary('events')}"
    events = make_webhook(stage.places["workspace"], owner, name="Canary", url=url)
    secrets += [canary("events"), opened(events)["secret"]]
    make_channel(stage.places["organization"], owner, "pagerduty", key=canary("pager"))
    make_channel(stage.places["organization"], owner, "slack-app", key=canary("bot"))
    save_receiver(
        actor=owner,
        organization=connection.organization,
        entered=Access(url="https://prometheus.example.org/", secret=canary("receiver")),
    )
    data = IndexData(
        name="Canary",
        url="https://packages.example.org/simple",
        username="reader",
        password=canary("index"),
    )
    add_index(actor=owner, place=deployment, data=data)
    there = f"https://hooks.example.org/{canary('subscriber')}"
    make_receiver(stage.places["organization"].status_page, there)
    secrets.append(canary("subscriber"))
    secrets += _plant_from_elsewhere(stage, owner)
    secrets += [canary("index"), canary("pager"), canary("bot"), canary("receiver")]
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
    name, password = "registry.example.org/team/etl:1", canary("pull-secret")
    text = pull_secret_text(name=name, user="ci", password=password)
    puller = sealed.new_secret_value(workspace=deployment.workspace, value=text)
    puller.deployment = deployment
    puller.save()
    image = OwnImage(
        name=name,
        digest=f"sha256:{'4b' * 32}",
        airflow_version="3.3.2",
        secret_id=str(puller.pk),
    )
    revision = Revision.objects.get(deployment=deployment)
    config = revision.config | {"variables": [variable], "image": asdict(image)}
    Revision.objects.update(config=config)
    opened = sealed.open_airflow_secrets(deployment)
    return [
        password,
        canary("variable"),
        opened.fernet_key,
        opened.jwt_secret,
        opened.api_secret_key,
    ]


def _plant_in_environment(stage: Stage, owner: User) -> list[str]:
    value = {"type": "smtp", "host": "smtp.example.org", "password": canary("connection")}
    value["extra"] = {"client_secret": canary("extra"), "more": {"deep": canary("deep")}}
    place = stage.places["workspace"]
    found = make_object(place, owner, name="canary", value=value)
    make_object(
        place, owner, "variable", "CANARY", value={"value": canary("shared")}, is_secret=True
    )
    override_object(
        actor=owner,
        found=found,
        deployment=stage.places["deployment"],
        value={"password": canary("override")},
    )
    return [canary(name) for name in ("connection", "extra", "deep", "shared", "override")]


def _plant_from_elsewhere(stage: Stage, owner: User) -> list[str]:
    store = StoreData(
        endpoint="https://s3.example.org",
        bucket="lake",
        access_key_id="AKIA1",
        secret=canary("bucket"),
    )
    use = ObjectStore.Use.STATUS_PAGE
    save_store(actor=owner, organization=stage.places["organization"], use=use, data=store)
    row = AirflowImport.objects.get(pk=stage.arguments["import_id"])
    given = ImportSecrets(password=canary("source"), fernet_keys=(canary("fernet"),))
    row.sealed = seal_secrets(row, given)
    row.save()
    return [canary(name) for name in ("bucket", "source", "fernet")]


def _hash(person: AbstractUser) -> str:
    return person.password


@pytest.mark.slow
def test_no_planted_secret_is_ever_read_again(
    stage: Stage, planted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = _read_again(stage, planted, caplog, visitors=WHO_MAY_MOST, methods=("GET", "POST"))

    assert found == []


def test_no_page_shows_its_owner_a_planted_secret(
    stage: Stage, planted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert _read_again(stage, planted, caplog, visitors=WHO_MAY_MOST[:1], methods=("GET",)) == []


def test_no_answer_of_the_api_holds_a_planted_secret(stage: Stage, planted: list[str]) -> None:
    """Read all there is, as the owner's token."""
    ids = ids_on(stage)
    found = []
    for name, operation in ALL.items():
        if operation.method != "GET":
            continue
        path = "/v1" + operation.route.format_map(ids)
        answer = stage.visitors["organization token"].get(path)
        body = b"".join(answer) if answer.streaming else answer.content
        found += [name for secret in planted if secret and secret in body.decode()]
        assert answer.status_code < 500 or answer.status_code == 503, name

    assert found == []


def test_the_search_would_find_one(
    stage: Stage, planted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert len(planted) > 12
    assert all(len(secret) > 12 for secret in planted)
    assert CLUSTER_CANARY in planted
    assert _read_again(stage, ["Nordhavn"], caplog, visitors=WHO_MAY_MOST[:1], methods=())


def _read_again(
    stage: Stage,
    planted: list[str],
    caplog: pytest.LogCaptureFixture,
    *,
    visitors: tuple[str, ...],
    methods: tuple[str, ...],
) -> list[str]:
    """Ask every address, and say where something planted came out again."""
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
        for visitor in visitors:
            for method in methods:
                # A link's own page may name the link that led there.
                answer = _ask(stage.visitors[visitor], method, path)
                look(f"{method} {path} as {visitor}", answer, but=path)
    look("the log", "\n".join(LineFormatter().format(record) for record in caplog.records))
    look("the audit log", json.dumps(list(AuditEvent.objects.values()), default=str))
    owner = User.objects.get(email="organization-owner@example.org")
    exported = export_events(
        actor=owner,
        organization_id=stage.places["organization"].pk,
        organization_name="x",
        filters={},
    )
    look("the export of the audit log", "".join(exported))
    return found


def _ask(client: Any, method: str, path: str) -> str:
    return _text(client.get(path)) if method == "GET" else _post(client, path)


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
