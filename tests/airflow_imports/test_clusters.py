"""Airflows from elsewhere that become Deployments on clusters, by a bucket of a real server."""

import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.airflow_imports import services
from apps.airflow_imports.models import AirflowImport, ImportState
from apps.airflow_imports.work import cleanup, sending
from apps.backups.keeping.cleanup import forget_buckets
from apps.clusters.models import Cluster
from apps.core.errors import Conflict
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.spec import RestoreSpec
from apps.deployments.editing.services import retry
from apps.deployments.models import Deployment, Operation, Phase, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.deployments.secrets import sealed
from apps.object_stores.client import Bucket, BucketFailed
from apps.object_stores.models import ObjectStore
from apps.object_stores.removal import remove_unwanted
from apps.organizations.models import Organization, Workspace
from apps.portal.services import delete_workspace
from tests.airflow_imports.test_pages import KEY, brought, read, url
from tests.backups.conftest import folder
from tests.clusters.material import registered
from tests.object_stores.conftest import server, shared_server
from tests.object_stores.servers import BUCKET, Server, make_store

__all__ = ["folder", "server", "shared_server", "url"]
pytestmark = pytest.mark.django_db
ARCHIVE = b"archive"
AWAY = BucketFailed("The server of the bucket lake cannot be used.", is_passing=True)


@pytest.fixture
def away(organization: Organization) -> Cluster:
    return registered(organization)


@pytest.fixture
def store(server: Server, alice: User, organization: Organization) -> ObjectStore:
    return make_store(server, alice, organization)


@pytest.fixture
def row(
    client_of: Callable[[User], Client], alice: User, url: str, plane: type[FakePlane]
) -> AirflowImport:
    return read(brought(client_of(alice), url))


def made(alice: User, row: AirflowImport, cluster: Cluster, **changes: Any) -> Deployment:
    wanted: dict[str, Any] = {"name": "shop", "runtime": "3.3.2-1", "cluster": cluster, **changes}
    deployment = services.create_from_import(actor=alice, row=row, **wanted).deployment
    row.refresh_from_db()
    return deployment


def wish(deployment: Deployment) -> RestoreSpec:
    deployment.refresh_from_db()
    assert deployment.wanted
    found = compile_spec(deployment=deployment, revision=deployment.wanted).restore
    assert found
    return found


def send(row: AirflowImport, **later: Any) -> None:
    sending.send_import(import_id=str(row.pk), now=timezone.now() + timedelta(**later))
    row.refresh_from_db()


def wanted(**later: Any) -> list[str]:
    return sending.wanted_now(now=timezone.now() + timedelta(**later))


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(sending.transfers, "upload", fail)


def fail_and_retry(alice: User, deployment: Deployment) -> Operation:
    Revision.objects.filter(deployment=deployment).update(state="failed")
    deployment.operations.update(state="failed")
    return retry(actor=alice, deployment=Deployment.objects.get(pk=deployment.pk))


def test_alice_chooses_a_cluster_which_gets_the_database_from_the_bucket(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    server: Server,
) -> None:
    client = client_of(alice)
    assert str(away) in client.get(f"{url}{row.pk}/").content.decode()
    form = {"name": "shop", "runtime": "3.3.2-1", "executor": "kubernetes", "cluster": away.pk}

    response = client.post(f"{url}{row.pk}/create/", form)

    assert response.status_code == 302, response.content.decode()
    deployment = Deployment.objects.get(name="shop")
    assert deployment.cluster == away
    assert deployment.wanted
    assert deployment.wanted.configuration.executor == "kubernetes"
    assert sealed.open_airflow_secrets(deployment).fernet_key == KEY
    waits = wish(deployment)
    assert waits.waiting == "The database is being put into the bucket lake."
    assert (waits.url, wanted()) == ("", [str(row.pk)])
    send(row)
    found = wish(deployment)
    assert (found.waiting, found.pauses_dags, found.postgres) == ("", True, 18)
    assert (found.sha256, found.size_bytes) == (row.sha256, len(ARCHIVE))
    assert found.url not in repr(found)
    with urllib.request.urlopen(found.url) as answer:
        assert answer.read() == ARCHIVE
    assert server.objects() == {f"imports/{row.pk}.dump": ARCHIVE}
    assert wanted() == []
    assert "lake" in client.get(f"{url}{row.pk}/").content.decode()


def test_without_a_bucket_nothing_is_begun(
    client_of: Callable[[User], Client], alice: User, url: str, row: AirflowImport, away: Cluster
) -> None:
    form = {"name": "shop", "runtime": "3.3.2-1", "executor": "celery", "cluster": away.pk}

    response = client_of(alice).post(f"{url}{row.pk}/create/", form)

    assert response.status_code == 422
    assert "add one in Settings, Buckets" in response.content.decode()
    assert "shop" in response.content.decode(), "what was typed is kept"
    assert not Deployment.objects.exists()
    row.refresh_from_db()
    assert row.state == ImportState.READY


@pytest.mark.parametrize("executor", ["local", "kubernetes"])
def test_an_executor_that_the_cluster_lacks_is_said_at_its_field(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    row: AirflowImport,
    cluster: Cluster,
    away: Cluster,
    store: ObjectStore,
    executor: str,
) -> None:
    lacks = away if executor == "local" else cluster
    form = {"name": "shop", "runtime": "3.3.2-1", "executor": executor, "cluster": lacks.pk}

    response = client_of(alice).post(f"{url}{row.pk}/create/", form)

    assert response.status_code == 422
    assert "does not have this executor. Choose Celery or" in response.content.decode()
    assert not Deployment.objects.exists()


def test_a_cluster_that_the_workspace_may_not_use_is_no_choice(
    client_of: Callable[[User], Client],
    alice: User,
    url: str,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
) -> None:
    Cluster.objects.filter(pk=away.pk).update(is_for_all_workspaces=False)
    client = client_of(alice)
    form = {"name": "shop", "runtime": "3.3.2-1", "executor": "celery", "cluster": away.pk}

    page = client.get(f"{url}{row.pk}/").content.decode()
    assert 'name="cluster"' not in page, "there is nothing to choose"
    assert client.post(f"{url}{row.pk}/create/", form).status_code == 422, "it was a choice before"
    registered(row.workspace.organization, name="another")
    assert client.post(f"{url}{row.pk}/create/", form).status_code == 422
    page = client.get(f"{url}{row.pk}/").content.decode()
    assert 'name="cluster"' in page
    assert "another" in page
    assert f">{away}<" not in page
    with pytest.raises(services.Invalid, match="cannot use the cluster"):
        made(alice, row, away)
    assert not Deployment.objects.exists()
    assert AirflowImport.objects.get().state == ImportState.READY


def test_a_bucket_that_is_away_is_asked_again_and_then_it_fails_with_the_reason(
    alice: User,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = made(alice, row, away)
    with monkeypatch.context() as patch:
        failing(patch, AWAY)
        send(row)
        assert str(wish(deployment).waiting).endswith("cannot be used."), "it goes on"
        assert (wanted(), wanted(minutes=2)) == ([], [str(row.pk)])
        send(row, minutes=2)
        send(row, minutes=5)
    with pytest.raises(Permanent, match="cannot be used"):
        wish(deployment)
    assert wanted(days=1) == [], "until a person retries"

    fail_and_retry(alice, deployment)

    assert wanted() == [str(row.pk)]
    send(row)
    assert wish(deployment).url


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BucketFailed("The bucket lake is full. Make room there."), "lake is full"),
        (OSError(5, "Input/output error"), "cannot be read again: Input/output error"),
        (SoftTimeLimitExceeded(), "took longer than an hour"),
    ],
)
def test_what_does_not_pass_fails_at_once(
    alice: User,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    sentence: str,
) -> None:
    deployment = made(alice, row, away)
    failing(monkeypatch, error)

    send(row)

    with pytest.raises(Permanent, match=sentence):
        wish(deployment)
    assert row.lease_until is None


def test_a_worker_that_was_killed_is_followed_by_another_three_times(
    alice: User, row: AirflowImport, away: Cluster, store: ObjectStore, server: Server
) -> None:
    deployment = made(alice, row, away)
    AirflowImport.objects.update(attempts=1, lease_until=timezone.now() + sending.LEASE)
    send(row)
    assert server.objects() == {}, "another worker has it"
    assert wanted() == []

    send(row, hours=2)

    assert server.objects() == {row.object_key: ARCHIVE}
    assert (row.attempts, row.lease_until) == (0, None)
    AirflowImport.objects.update(attempts=3, sent_for=None)
    send(row)
    with pytest.raises(Permanent, match="cut off three times"):
        wish(deployment)


def test_an_object_that_was_removed_is_sent_again_by_a_retry(
    alice: User, row: AirflowImport, away: Cluster, store: ObjectStore, server: Server
) -> None:
    deployment = made(alice, row, away)
    send(row)
    server.client().delete_object(Bucket=BUCKET, Key=row.object_key)

    fail_and_retry(alice, deployment)
    assert wish(deployment).waiting
    send(row)

    assert server.objects() == {row.object_key: ARCHIVE}
    assert wish(deployment).url


def test_what_is_whole_in_the_bucket_is_not_sent_twice(
    alice: User,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deployment = made(alice, row, away)
    send(row)
    fail_and_retry(alice, deployment)
    failing(monkeypatch, AssertionError("It is there."))

    send(row)

    assert wish(deployment).url


def test_another_bucket_is_used_by_a_retry_and_the_former_one_is_left_empty(
    alice: User,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    server: Server,
    organization: Organization,
) -> None:
    deployment = made(alice, row, away)
    send(row)
    former = row.object_key
    assert forget_buckets() == 0
    make_store(server, alice, organization, prefix="other/")
    assert forget_buckets() == 0, "the archive lies there"

    fail_and_retry(alice, deployment)
    send(row)

    assert former not in server.objects()
    assert server.objects() == {f"other/imports/{row.pk}.dump": ARCHIVE}
    assert forget_buckets() == 1


def test_the_object_goes_with_the_import(
    alice: User,
    row: AirflowImport,
    away: Cluster,
    store: ObjectStore,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(alice, row, away)
    AirflowImport.objects.update(lease_until=timezone.now() + sending.LEASE)
    with pytest.raises(Conflict, match="A job works on this Airflow"):
        services.remove_import(actor=alice, row=row)
    AirflowImport.objects.update(lease_until=None)
    send(row)
    with pytest.raises(Conflict, match="is being created from it"):
        services.remove_import(actor=alice, row=row)
    Deployment.objects.update(phase=Phase.DELETED)
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "url", lambda *_: f"{server.url}/no-such-bucket/x")
        with pytest.raises(BucketFailed, match="There is no bucket"):
            services.remove_import(actor=alice, row=row)
        assert cleanup.remove_expired(now=timezone.now() + services.KEPT * 2) == 0
    assert AirflowImport.objects.exists(), "it is tried again"

    services.remove_import(actor=alice, row=row)

    assert server.objects() == {}


def test_the_object_goes_after_a_week_although_dags_wait_to_be_unpaused(
    alice: User, row: AirflowImport, away: Cluster, store: ObjectStore, server: Server
) -> None:
    deployment = made(alice, row, away)
    send(row)
    later = timezone.now() + services.KEPT * 2
    assert cleanup.remove_expired(now=later) == 0
    assert server.objects(), "the cluster needs it"
    Revision.objects.update(state="applied", applied_at=timezone.now())
    Deployment.objects.update(applied=deployment.wanted)

    assert cleanup.remove_expired(now=later) == 0

    row.refresh_from_db()
    assert (server.objects(), row.store) == ({}, None)
    assert row.ran_before == ["orders_daily"]


def test_the_object_goes_with_the_workspace(
    alice: User, row: AirflowImport, away: Cluster, store: ObjectStore, server: Server
) -> None:
    made(alice, row, away)
    send(row)
    Deployment.objects.update(phase=Phase.DELETED)
    workspace = row.workspace

    delete_workspace(actor=alice, workspace=workspace, typed_name=workspace.name)
    assert not AirflowImport.objects.exists()
    assert remove_unwanted(now=timezone.now()) == 1

    assert server.objects() == {}


def test_an_archive_that_is_gone_is_said(
    alice: User, row: AirflowImport, away: Cluster, store: ObjectStore
) -> None:
    deployment = made(alice, row, away)
    row.archive.unlink()

    send(row)

    with pytest.raises(Permanent, match="Bring it again"):
        wish(deployment)
    AirflowImport.objects.all().delete()
    with pytest.raises(Permanent, match="Bring it again"):
        wish(deployment)


def test_a_portal_without_this_machine_brings_one_to_a_cluster(
    client_of: Callable[[User], Client],
    alice: User,
    organization: Organization,
    workspace: Workspace,
    server: Server,
    folder: Path,
    plane: type[FakePlane],
) -> None:
    client, url = client_of(alice), f"/w/{workspace.slug}/imports/"
    page = client.get(f"{url}new/").content.decode()
    assert "There is no cluster that this workspace can use" in page
    assert "Read and check" in page, "it can be read before"
    row = read(brought(client, url))
    away = registered(organization)
    page = client.get(f"{url}{row.pk}/").content.decode()
    assert "add one in Settings, Buckets" in page
    assert 'value="local"' not in page, "no cluster has this executor"
    make_store(server, alice, organization)
    page = client.get(f"{url}{row.pk}/").content.decode()
    assert "It has no place yet" not in page
    assert "There is no" not in client.get(f"{url}new/").content.decode()
    form = {"name": "shop", "runtime": "3.3.2-1", "executor": "kubernetes"}

    without = client.post(f"{url}{row.pk}/create/", form)
    created = client.post(f"{url}{row.pk}/create/", {**form, "cluster": away.pk})

    assert without.status_code == 422
    assert created.status_code == 302, created.content.decode()
    row.refresh_from_db()
    send(row)
    assert server.objects() == {f"imports/{row.pk}.dump": ARCHIVE}
    assert wish(Deployment.objects.get()).url


def test_a_program_names_the_cluster_where_there_is_no_machine(
    alice: User, row: AirflowImport, cluster: Cluster, away: Cluster, store: ObjectStore
) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(is_for_all_workspaces=False)

    with pytest.raises(services.Invalid, match="Choose a cluster: this workspace cannot use"):
        services.create_from_import(actor=alice, row=row, name="shop", runtime="3.3.2-1")
