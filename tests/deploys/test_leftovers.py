import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.models import Deployment, Phase
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.deliveries import services
from apps.deploys.deliveries.cleanup import hold_archives, remove_unused_archives
from apps.deploys.deliveries.recording import CodeMissing
from apps.deploys.deliveries.services import deliver
from apps.deploys.models import Deploy

TOMORROW = timedelta(hours=25)


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}


def delivered(actor: User, deployment: Deployment) -> Deploy:
    delivery = deliver(
        actor=actor, deployment=deployment, file_name="etl.py", chunks=[b"x = 1\n"], description=""
    )
    return delivery.deploy


def test_nothing_stored_is_nothing_to_remove(db: Any) -> None:
    assert remove_unused_archives(now=timezone.now()) == 0


def test_an_archive_that_nothing_names_goes_after_a_day(
    alice: User, deployment: Deployment
) -> None:
    deploy = delivered(alice, deployment)
    unused = default_storage.save(code_name("0" * 64), ContentFile(b"x"))

    assert remove_unused_archives(now=timezone.now() + timedelta(hours=23)) == 0
    assert remove_unused_archives(now=timezone.now() + TOMORROW) == 1
    assert not default_storage.exists(unused)
    assert default_storage.exists(code_name(deploy.digest))


def test_a_deleted_deployment_frees_its_code_but_for_what_others_run(
    alice: User,
    make_deployment: Callable[..., Deployment],
    client_of: Callable[[User], Client],
) -> None:
    gone, other = make_deployment(), make_deployment()
    deploy = delivered(alice, gone)
    delivered(alice, other)
    name = code_name(deploy.digest)
    address = f"/d/{gone.ref}/deploys/1/"
    Deployment.objects.filter(pk=gone.pk).update(phase=Phase.DELETED)

    assert remove_unused_archives(now=timezone.now() + TOMORROW) == 0
    Deployment.objects.filter(pk=other.pk).update(phase=Phase.DELETED)
    assert remove_unused_archives(now=timezone.now() + TOMORROW) == 1

    assert not default_storage.exists(name)
    assert "Download" not in client_of(alice).get(address).content.decode()
    assert client_of(alice).get(f"{address}download/").status_code == 404
    assert "was deleted together with its code" in (
        client_of(alice).get(f"/d/{gone.ref}/deploys/").content.decode()
    )


def test_code_that_only_a_revision_names_stays(alice: User, deployment: Deployment) -> None:
    deploy = delivered(alice, deployment)
    Deploy.objects.all().delete()

    assert remove_unused_archives(now=timezone.now() + TOMORROW) == 0
    assert default_storage.exists(code_name(deploy.digest))


def test_code_that_was_cleared_away_in_this_moment_is_asked_for_again(
    alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = services._keep

    def keep_and_lose(archive: Any) -> None:
        keep(archive)
        os.unlink(default_storage.path(code_name(archive.digest)))

    monkeypatch.setattr(services, "_keep", keep_and_lose)

    with pytest.raises(CodeMissing, match="Upload it again"):
        delivered(alice, deployment)

    assert not Deploy.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_nothing_is_removed_while_a_deploy_is_being_written(
    alice: User, deployment: Deployment
) -> None:
    deploy = delivered(alice, deployment)
    revision = deploy.revision
    Deploy.objects.all().delete()
    type(revision).objects.filter(pk=revision.pk).update(code_digest="")

    def sweep() -> None:
        remove_unused_archives(now=timezone.now() + TOMORROW)
        connection.close()

    sweeper = threading.Thread(target=sweep)
    with transaction.atomic():
        hold_archives()
        sweeper.start()
        sweeper.join(timeout=0.5)
        assert sweeper.is_alive()
        type(revision).objects.filter(pk=revision.pk).update(code_digest=deploy.digest)
    sweeper.join(timeout=10)

    assert default_storage.exists(code_name(deploy.digest))
