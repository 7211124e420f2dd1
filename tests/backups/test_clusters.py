"""Backups of Deployments on clusters, in a bucket of a real server."""

import hashlib
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import User
from apps.backups import restoring, services
from apps.backups.keeping import fetching, from_clusters
from apps.backups.models import Backup, BackupState
from apps.core.errors import Refused
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.spec import DeploymentSpec, DumpTarget
from apps.dataplane.status import SentDump
from apps.deployments.models import Deployment, Phase, Revision
from apps.deployments.reconciling.compiler import compile_spec
from apps.object_stores.models import ObjectStore
from apps.organizations.models import Organization
from apps.upgrades.checking import _backup as backup_finding
from apps.upgrades.findings import BACKED_UP
from tests.backups.examples import make_backup, with_secrets
from tests.clusters.material import registered
from tests.object_stores.conftest import server, shared_server
from tests.object_stores.servers import BUCKET, Server, make_store

__all__ = ["server", "shared_server"]
pytestmark = pytest.mark.django_db
CONTENT = b"dump of a cluster"
QUEUE = {"name": "default", "size": "A5", "concurrency": 5, "min_workers": 0, "max_workers": 2}


class Sending:
    """A cluster that sends one part as its pods do, or fails."""

    def __init__(self, *, error: DataPlaneError | None = None, size: int = len(CONTENT)) -> None:
        self.error, self.size = error, size
        self.specs: list[DeploymentSpec] = []

    def back_up_to(self, *, spec: DeploymentSpec, target: DumpTarget) -> SentDump:
        self.specs.append(spec)
        if self.error:
            raise self.error
        kind = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(
            target.part_urls[0], data=CONTENT, headers=kind, method="PUT"
        )
        with urllib.request.urlopen(request) as answer:
            tag = answer.headers["ETag"]
        return SentDump(
            airflow_version=spec.runtime.airflow_version,
            size_bytes=self.size,
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            tags=(tag,),
            postgres=16,
        )


@pytest.fixture
def away(make_deployment: Callable[..., Deployment], organization: Organization) -> Deployment:
    return with_secrets(
        make_deployment(cluster=registered(organization), config={"queues": [QUEUE]})
    )


@pytest.fixture
def store(server: Server, alice: User, organization: Organization) -> ObjectStore:
    return make_store(server, alice, organization)


def sending(monkeypatch: pytest.MonkeyPatch, **how: Any) -> Sending:
    plane = Sending(**how)
    monkeypatch.setattr(from_clusters, "plane_for", lambda _: plane)
    return plane


def key_of(backup: Backup) -> str:
    return f"{backup.deployment.ref}/{backup.pk}.dump"


def uploads(server: Server) -> list[Any]:
    found: list[Any] = server.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


def test_a_cluster_sends_its_dump_to_the_bucket(
    alice: User,
    away: Deployment,
    store: ObjectStore,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = sending(monkeypatch)

    backup = make_backup(alice, away)

    assert (backup.state, backup.failure) == (BackupState.DONE, "")
    assert (backup.store, backup.size_bytes, backup.postgres) == (store, len(CONTENT), 16)
    assert backup.airflow_version == plane.specs[0].runtime.airflow_version
    assert server.objects() == {key_of(backup): CONTENT}


def test_without_a_bucket_it_is_refused_and_not_scheduled(alice: User, away: Deployment) -> None:
    with pytest.raises(Refused, match="add one in Settings, Buckets"):
        services.request_backup(actor=alice, deployment=away)
    with pytest.raises(Refused, match="add one in Settings, Buckets"):
        services.save_schedule(
            actor=alice,
            deployment=away,
            weekday=None,
            at=timezone.now().time(),
            time_zone="UTC",
            keep_days=3,
        )
    assert backup_finding(away)["tone"] == "warn"


def test_what_fails_or_is_cut_off_leaves_nothing_in_the_bucket(
    alice: User,
    away: Deployment,
    store: ObjectStore,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sending(monkeypatch, error=Permanent("The node has no room for the backup."))
    full = make_backup(alice, away)
    sending(monkeypatch, size=len(CONTENT) + 1)
    short = make_backup(alice, away)

    assert (full.state, full.failure) == ("failed", "The node has no room for the backup.")
    assert short.state == "failed"
    assert "not the whole backup" in short.failure
    assert server.objects() == {}
    assert uploads(server) == []


def test_none_is_made_while_another_airflow_is_on_its_way(
    alice: User, away: Deployment, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = sending(monkeypatch)
    assert away.applied
    config = away.applied.config | {"runtime": "3.2.2-1"}
    wanted = Revision.objects.create(deployment=away, number=away.applied.number + 1, config=config)
    Deployment.objects.filter(pk=away.pk).update(wanted=wanted)

    backup = make_backup(alice, Deployment.objects.get(pk=away.pk))

    assert backup.failure == from_clusters.CHANGING
    assert plane.specs == []


def test_the_cluster_gets_an_address_of_what_it_restores_and_the_portal_no_file(
    alice: User, away: Deployment, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch)
    backup = make_backup(alice, away)

    restoring.restore_backup(actor=alice, backup=backup, typed_name=away.name)

    away.refresh_from_db()
    assert away.wanted
    wish = compile_spec(deployment=away, revision=away.wanted).restore
    assert wish
    assert (wish.size_bytes, wish.postgres, wish.is_fetched) == (len(CONTENT), 16, False)
    with urllib.request.urlopen(wish.url) as answer:
        assert answer.read() == CONTENT
    assert wish.url not in repr(wish)
    assert fetching.wanted_now() == []
    operation = restoring.restore_as_new(actor=alice, backup=backup, name="etl-copy")
    copy = operation.deployment
    assert copy.wanted
    made = compile_spec(deployment=copy, revision=copy.wanted).restore
    assert made
    assert made.pauses_dags
    assert made.url


def test_a_deployment_is_deleted_after_its_backup_which_is_kept(
    alice: User, away: Deployment, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch)

    backup = make_backup(
        alice, away, reason=Backup.Reason.DELETION, keep_days=30, then_deletes=True
    )

    away.refresh_from_db()
    assert away.phase == Phase.DELETING
    assert backup.expires_at
    assert backup.expires_at - timezone.now() > timedelta(days=29)


def test_an_upgrade_on_a_cluster_is_backed_up_where_there_is_a_bucket(
    away: Deployment, store: ObjectStore
) -> None:
    assert backup_finding(away)["title"] == BACKED_UP


def test_a_cluster_that_is_away_is_said(
    alice: User, away: Deployment, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch, error=Temporary("The cluster did not start the Job in three minutes."))

    assert make_backup(alice, away).failure.startswith("The cluster did not start the Job")
