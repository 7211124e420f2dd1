"""From a row to a plane: the credential is opened for that alone, and replaced when it changes."""

import pytest
from django.db import IntegrityError, transaction

from apps.clusters.connections import planes as connections
from apps.clusters.connections import sealed
from apps.clusters.connections.planes import config_for, plane_for
from apps.clusters.models import SEALED, Cluster
from apps.clusters.services import remove_cluster
from apps.core.encryption.crypto import KeyRing, SecretUnreadable, key_id_of
from apps.dataplane.errors import Permanent
from apps.deployments.secrets.keys import key_problems, rewrap_all
from tests.clusters.material import CANARY, NOW, SERVER

pytestmark = pytest.mark.django_db


def test_a_plane_is_made_from_everything_known_of_its_cluster(remote, settings) -> None:
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    for field in SEALED[1:]:
        sealed.seal(remote, field, f"secret of {field}")
    remote.database_host, remote.database_user = "db.example.org", "portal"
    remote.logs_in, remote.logs_url = Cluster.LogsIn.OBJECT_STORE, "s3://logs/airflow"
    remote.save()

    config = config_for(Cluster.objects.get(pk=remote.pk))

    assert config.connection.server == SERVER
    assert config.connection.token == CANARY
    assert config.connection.networks == ("127.0.0.0/8",)
    assert config.database is not None
    assert config.database.password == "secret of database_password"
    assert config.object_store is not None
    assert config.object_store.secret_key == "secret of logs_secret_key"
    assert config.image_pull_secret == "secret of image_pull_secret"
    assert config.portal_id == remote.portal_id
    assert "secret of" not in repr(config)
    assert CANARY not in repr(config)


def test_a_plane_is_kept_until_its_connection_changes(remote) -> None:
    first = plane_for(remote)

    assert plane_for(Cluster.objects.get(pk=remote.pk)) is first
    Cluster.objects.filter(pk=remote.pk).update(connection_version=2)
    second = plane_for(Cluster.objects.get(pk=remote.pk))
    assert second is not first
    # A pass that read the row before the change does not bring the old plane back.
    assert plane_for(remote) is second


def test_planes_are_forgotten_when_there_are_too_many(remote, monkeypatch) -> None:
    monkeypatch.setattr(connections, "MOST_PLANES", 1)
    monkeypatch.setattr(connections, "_planes", {-1: (1, object())})

    plane = plane_for(remote)

    assert connections._planes == {remote.pk: (1, plane)}


def test_a_credential_opens_in_its_own_row_and_field_alone(remote, organization) -> None:
    other = Cluster(organization=organization, kind="kubernetes", name="x")
    other.credential = remote.credential
    remote.database_password = remote.credential

    for cluster, field in ((other, "credential"), (remote, "database_password")):
        with pytest.raises(SecretUnreadable):
            sealed.opened(cluster, field)


def test_a_credential_that_cannot_be_opened_is_said_in_words(remote, settings) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t2": b"1" * 32})

    with pytest.raises(Permanent, match="A secret of the cluster eu-1 cannot be read"):
        config_for(remote)
    assert key_problems() == ["Secrets need the encryption key “t1”, which is not in the key ring."]


def test_a_removed_cluster_has_no_plane(remote, alice) -> None:
    Cluster.objects.update(unreachable_since=NOW, blind_until=NOW)
    remove_cluster(actor=alice, cluster=remote, typed_name="eu-1")
    remote.refresh_from_db()

    with pytest.raises(Permanent, match="eu-1 is no longer registered"):
        plane_for(remote)
    assert (remote.unreachable_since, remote.blind_until) == (None, None)


def test_credentials_move_to_the_current_key_with_all_other_secrets(remote, settings) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(current="t2", keys={"t1": b"0" * 32, "t2": b"1" * 32})

    assert rewrap_all() == 1

    remote.refresh_from_db()
    assert key_id_of(bytes(remote.credential)) == "t2"
    assert config_for(remote).connection.token == CANARY


def test_a_kubernetes_cluster_without_a_connection_cannot_be_stored(organization) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Cluster.objects.create(organization=organization, kind="kubernetes", name="x")
