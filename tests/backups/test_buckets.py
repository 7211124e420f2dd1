"""Backups in a bucket of a real server."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.backups import restoring, services
from apps.backups.keeping import cleanup, fetching, running
from apps.backups.models import Backup, BackupState
from apps.core.errors import PortalError, Refused
from apps.dataplane.spec import failed_note
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.compiler import compile_spec
from apps.object_stores import removal, transfers
from apps.object_stores.client import Bucket
from apps.object_stores.models import ObjectStore, UnwantedObject
from apps.object_stores.services import remove_store
from apps.organizations.models import Organization
from apps.portal.services import delete_workspace
from tests.backups.examples import file_of, make_backup, with_secrets
from tests.object_stores.conftest import server, shared_server
from tests.object_stores.servers import BUCKET, Server, make_store

__all__ = ["server", "shared_server"]
pytestmark = pytest.mark.django_db
NAME, CONTENT = "etl-prod-7f3c/{}.dump", b"dump of etl-prod-7f3c"


@pytest.fixture
def store(server: Server, alice: User, organization: Organization) -> ObjectStore:
    return make_store(server, alice, organization, prefix="airflow")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "WAITS_SECONDS", (0.0, 0.0))


def key_of(backup: Backup) -> str:
    return f"airflow/{NAME.format(backup.pk)}"


def test_a_backup_lies_in_the_bucket_and_not_here(
    alice: User, deployment: Deployment, folder: Path, store: ObjectStore, server: Server
) -> None:
    backup = make_backup(alice, deployment)

    assert (backup.state, backup.store, backup.size_bytes) == (BackupState.DONE, store, 21)
    assert backup.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert server.objects() == {key_of(backup): CONTENT}
    assert [*folder.iterdir()] == []


def test_it_is_fetched_to_be_restored_and_its_file_does_not_stay(
    alice: User,
    deployment: Deployment,
    folder: Path,
    store: ObjectStore,
    django_capture_on_commit_callbacks: Any,
) -> None:
    backup = make_backup(alice, deployment)
    restoring.restore_backup(actor=alice, backup=backup, typed_name=deployment.name)
    deployment.refresh_from_db()
    wish = compile_spec(deployment=deployment, revision=deployment.wanted).restore

    assert wish
    assert wish.is_fetched
    assert fetching.wanted_now() == [str(backup.pk)]
    fetching.fetch_backup(backup_id=str(backup.pk), now=timezone.now())

    assert Path(wish.dump_path).read_bytes() == CONTENT
    assert fetching.wanted_now() == []
    deployment.wanted.applied_at = timezone.now()
    deployment.wanted.save()
    later = timezone.now() + timedelta(days=2)
    assert cleanup.remove_stray_files(now=later) == 1
    assert [*folder.iterdir()] == []


def test_a_bucket_that_is_away_or_full_is_no_backup(
    alice: User, deployment: Deployment, folder: Path, store: ObjectStore, server: Server
) -> None:
    ObjectStore.objects.update(bucket="gone")

    backup = make_backup(alice, deployment)

    assert backup.state == BackupState.FAILED
    assert backup.failure == "There is no bucket gone at this address."
    ObjectStore.objects.update(endpoint="http://127.0.0.1:9", bucket=BUCKET)
    again = make_backup(alice, deployment)
    assert again.state == BackupState.FAILED
    assert "Nothing accepts connections there" in again.failure
    assert [*folder.iterdir()] == []
    assert server.objects() == {}
    with pytest.raises(PortalError, match="not complete"):
        restoring.checked_revision(again)


def test_one_that_was_deleted_or_cut_off_there_is_not_restored(
    alice: User, deployment: Deployment, store: ObjectStore, server: Server
) -> None:
    backup = make_backup(alice, deployment)
    s3 = server.client()

    s3.put_object(Bucket=BUCKET, Key=key_of(backup), Body=CONTENT[:-1])
    with pytest.raises(Refused, match="cut off"):
        restoring.checked_revision(backup)
    s3.delete_object(Bucket=BUCKET, Key=key_of(backup))
    with pytest.raises(Refused, match="no longer in the bucket lake/airflow"):
        restoring.restore_backup(actor=alice, backup=backup, typed_name=deployment.name)


def test_one_that_was_changed_there_leaves_a_note_for_the_data_plane(
    alice: User, deployment: Deployment, store: ObjectStore, server: Server
) -> None:
    backup = make_backup(alice, deployment)
    restoring.restore_backup(actor=alice, backup=backup, typed_name=deployment.name)
    server.client().put_object(Bucket=BUCKET, Key=key_of(backup), Body=CONTENT.upper())

    fetching.fetch_backup(backup_id=str(backup.pk), now=timezone.now())

    assert not file_of(backup).exists()
    assert "checksum is another one" in failed_note(file_of(backup)).read_text()
    assert fetching.wanted_now() == [], "nothing is tried again before the note is read"


def test_retention_deletes_there_and_waits_while_the_bucket_is_away(
    alice: User, deployment: Deployment, store: ObjectStore, server: Server
) -> None:
    backup = make_backup(alice, deployment, keep_days=7)
    later = timezone.now() + timedelta(days=8)

    ObjectStore.objects.update(endpoint="http://127.0.0.1:9")
    assert cleanup.remove_expired(now=later) == 0
    with pytest.raises(PortalError, match="Nothing accepts connections there"):
        services.remove_backup(actor=alice, backup=backup)
    ObjectStore.objects.update(endpoint=server.url)

    assert cleanup.remove_expired(now=later) == 1
    assert server.objects() == {}
    assert not Backup.objects.exists()


def test_the_key_of_a_bucket_is_forgotten_with_its_last_backup(
    alice: User, deployment: Deployment, store: ObjectStore, server: Server
) -> None:
    backup = make_backup(alice, deployment)
    remove_store(actor=alice, store=store)

    assert cleanup.forget_buckets() == 0
    assert restoring.checked_revision(backup)
    services.remove_backup(actor=alice, backup=backup)

    assert server.objects() == {}
    assert cleanup.forget_buckets() == 1
    with_secrets(deployment)
    assert make_backup(alice, deployment).store is None


def test_backups_go_with_their_workspace_also_while_the_bucket_is_away(
    alice: User,
    deployment: Deployment,
    folder: Path,
    store: ObjectStore,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_backup(alice, deployment)
    make_backup(alice, deployment)
    deployment.phase = Phase.DELETED
    deployment.save()
    workspace, now = deployment.workspace, timezone.now()

    delete_workspace(actor=alice, workspace=workspace, typed_name=workspace.name)

    assert not Backup.objects.exists()
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "url", lambda *_: f"{server.url}/no-such-bucket/x")
        assert removal.remove_unwanted(now=now) == 0
    remove_store(actor=alice, store=store)
    assert cleanup.forget_buckets() == 0, "its key is needed"
    assert len(server.objects()) == 2

    assert removal.remove_unwanted(now=now) == 2

    assert server.objects() == {}
    assert removal.remove_unwanted(now=now) == 0
    assert cleanup.forget_buckets() == 1


def test_what_cannot_be_deleted_for_a_month_is_given_up(
    alice: User, store: ObjectStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal.remove_later([(store, "gone/one.dump")])
    monkeypatch.setattr(Bucket, "url", lambda *_: f"{server.url}/no-such-bucket/x")

    removal.remove_unwanted(now=timezone.now() + timedelta(days=29))
    assert UnwantedObject.objects.exists()
    removal.remove_unwanted(now=timezone.now() + timedelta(days=31))

    assert not UnwantedObject.objects.exists()


def test_a_worker_that_died_while_it_sent_is_followed_by_another(
    alice: User, deployment: Deployment, store: ObjectStore, server: Server
) -> None:
    with_secrets(deployment)
    backup = services.request_backup(actor=alice, deployment=deployment)
    now = timezone.now()
    Backup.objects.filter(pk=backup.pk).update(
        state=BackupState.RUNNING, store=store, attempts=1, lease_until=now
    )

    running.back_up(backup_id=str(backup.pk), now=now + timedelta(seconds=1))

    backup.refresh_from_db()
    assert backup.state == BackupState.DONE
    assert server.objects() == {key_of(backup): CONTENT}
