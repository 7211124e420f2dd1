"""Secrets at rest: bound to their row, moved to a new key, and never written without one."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.connections.kept import keep_secrets, kept_secrets
from apps.clusters.connections.sealed import former_password
from apps.clusters.models import Cluster, FormerDatabaseServer
from apps.core.encryption.crypto import KeyRing, SecretUnreadable, key_id_of
from apps.deployments.editing.drafts import store_secret
from apps.deployments.models import Deployment, SecretValue
from apps.deployments.secrets import sealed
from apps.deployments.secrets.keys import SEALED_COLUMNS, key_problems, rewrap_all
from apps.observability.history.models import HistoryDay, Sample
from apps.organizations.models import Organization, Workspace
from apps.sso.connections.services import client_secret_of
from apps.sso.encryption import encryption_key_of
from apps.sso.models import SSOConnection
from apps.status_pages.copies.models import Copy

pytestmark = pytest.mark.django_db

OLD, NEW = b"0" * 32, b"1" * 32
BOTH = KeyRing(current="t2", keys={"t1": OLD, "t2": NEW})


@pytest.fixture
def secret(workspace: Workspace, alice: User) -> SecretValue:
    return store_secret(workspace=workspace, value="hunter2", actor=alice)


def test_a_secret_opens_in_its_own_row_alone(secret: SecretValue, workspace: Workspace) -> None:
    other = sealed.new_secret_value(workspace=workspace, value="other")
    other.sealed = secret.sealed

    assert sealed.open_secret_value(secret) == "hunter2"
    with pytest.raises(SecretUnreadable):
        sealed.open_secret_value(other)


def test_airflow_gets_long_secrets_of_its_own_once(
    created: Deployment, create: Callable[..., Any]
) -> None:
    mine = sealed.open_airflow_secrets(created)
    other = sealed.open_airflow_secrets(create("other").deployment)

    assert len(mine.jwt_secret.encode()) >= 64
    assert mine.fernet_key != other.fernet_key
    assert mine == sealed.open_airflow_secrets(Deployment.objects.get(pk=created.pk))


def test_all_secrets_move_to_the_current_key(
    secret: SecretValue, created: Deployment, settings: Any
) -> None:
    before = sealed.open_airflow_secrets(created)
    settings.ENCRYPTION_KEYS = BOTH
    out = StringIO()

    call_command("rotate_encryption_key", stdout=out)
    call_command("rotate_encryption_key", stdout=out)

    assert out.getvalue().splitlines()[0] == "2 secrets are now encrypted with the current key."
    assert out.getvalue().splitlines()[1].startswith("0 secrets")
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": NEW})
    secret.refresh_from_db()
    created.refresh_from_db()
    assert key_id_of(bytes(secret.sealed)) == "t2"
    assert sealed.open_secret_value(secret) == "hunter2"
    assert sealed.open_airflow_secrets(created) == before
    call_command("check_keys")


def test_the_portal_refuses_to_start_without_a_key_that_is_needed(
    secret: SecretValue, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": NEW})

    with pytest.raises(CommandError, match="need the encryption key “t1”, which is not"):
        call_command("check_keys")
    with pytest.raises(CommandError, match="“t1” is not in the key ring"):
        call_command("rotate_encryption_key")
    assert [error.id for error in run_checks(tags=["database"], databases=["default"])] == [
        "deployments.E001"
    ]


def test_it_notices_another_key_under_the_same_name(secret: SecretValue, settings: Any) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t1", keys={"t1": NEW})

    with pytest.raises(
        CommandError, match="“t1” in the key ring is not the one that the secrets were"
    ):
        call_command("check_keys")


def test_without_any_key_nothing_starts_and_nothing_is_written(
    workspace: Workspace, alice: User, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = None

    with pytest.raises(CommandError, match="PORTAL_ENCRYPTION_KEYS is not set"):
        call_command("check_keys")
    with pytest.raises(ImproperlyConfigured):
        store_secret(workspace=workspace, value="hunter2", actor=alice)
    assert not SecretValue.objects.exists()


def test_the_keys_are_right_when_they_are(secret: SecretValue) -> None:
    call_command("check_keys")

    assert run_checks(tags=["database"], databases=["default"]) == []


def test_keys_are_not_judged_before_the_columns_are_there(
    secret: SecretValue, settings: Any
) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": NEW})
    [newest] = MigrationLoader(connection).graph.leaf_nodes("sso")
    MigrationRecorder(connection).record_unapplied(*newest)

    assert run_checks(tags=["database"], databases=["default"]) == []


# Measurements and status pages, which are no secrets.
PACKED = {(HistoryDay, "packed"), (Sample, "packed"), (Copy, "packed")}


def test_every_sealed_column_moves_to_the_current_key() -> None:
    """A column that is forgotten is lost when the old key leaves the ring."""
    ours = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
    stored = {
        (model, field.name)
        for model in ours
        for field in model._meta.local_fields
        if isinstance(field, models.BinaryField)
    }

    assert {(column.model, column.field) for column in SEALED_COLUMNS} == stored - PACKED


def test_secrets_of_connections_and_former_servers_open_with_the_new_key_alone(
    organization: Organization, alice: User, settings: Any
) -> None:
    saml = SSOConnection(organization=organization, key="nordhavn-1", protocol="saml")
    ring = settings.ENCRYPTION_KEYS
    for field in ("client_secret", "encryption_key"):
        value = ring.seal(value=f"canary-{field}", identity=saml.identity(field))
        setattr(saml, field, value)
    saml.save()
    cluster = Cluster.objects.create(organization=organization, name="here", kind="local")
    former = FormerDatabaseServer(cluster=cluster, host="db.test", port=5432, user="portal")
    former.password = ring.seal(value="canary-password", identity=former.identity)
    former.save()
    now = timezone.now()
    mine = {"actor": alice, "organization": organization, "form": "register"}
    keep_secrets(**mine, secrets={"token": ("canary-token", "")}, now=now)
    settings.ENCRYPTION_KEYS = BOTH

    assert rewrap_all() == 4

    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": NEW})
    assert key_problems() == []
    saml.refresh_from_db()
    assert client_secret_of(saml) == "canary-client_secret"
    assert encryption_key_of(saml) == "canary-encryption_key"
    assert kept_secrets(**mine, now=now) == {"token": ("canary-token", "")}
    former.refresh_from_db()
    assert former_password(former) == "canary-password"
