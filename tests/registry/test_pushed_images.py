"""Images that nothing names leave a real registry that believes the portal, and no others."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment, Phase, Revision
from apps.deploys.models import Upload
from apps.image_retention.pushed_images import GONE_LASTS, remove_pushed_images
from apps.organizations.tokens.services import create_token
from apps.registry.models import PushedImage
from apps.registry.queries import configuration
from apps.registry.signing import bundle
from tests.conftest import role
from tests.core.pages import check_page
from tests.registry.registries import IS_INSTALLED, WHY_NOT, free_port, image_layout, pull, push
from tests.registry.registries import registry as running_registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT),
    pytest.mark.django_db(transaction=True),
]
NOW = timezone.now()
DAYS = timedelta(days=30)


@pytest.fixture
def secret(alice: User, deployment: Deployment) -> str:
    """A token that pushes and pulls for all Deployments of the workspace."""
    given = {"name": "ci", "role": role("workspace", "author"), "expires_at": None}
    return create_token(actor=alice, on=deployment.workspace, **given)[1]


@pytest.fixture
def pushed(registry: str, secret: str, tmp_path: Path) -> Callable[..., str]:
    """Push another image under each tag; return its digest."""

    def make(deployment: Deployment, tag: str, version: str = "") -> str:
        folder = tmp_path / f"{deployment.ref}-{version or tag}"
        digest = image_layout(folder, labels={"version": version or tag})
        done = push(folder, f"{registry}/deployments/{deployment.ref}:{tag}", secret)
        assert done.returncode == 0, done.stderr
        return digest

    return make


@pytest.fixture
def is_there(registry: str, secret: str, tmp_path: Path) -> Callable[[Deployment, str], bool]:
    def look(deployment: Deployment, digest: str) -> bool:
        image = f"{registry}/deployments/{deployment.ref}@{digest}"
        return pull(image, secret, tmp_path / "pulled").returncode == 0

    return look


def run(deployment: Deployment, digest: str) -> None:
    """Make a revision that runs an image of this digest."""
    [revision] = Revision.objects.filter(pk=deployment.wanted_id)
    image = OwnImage(name="r.example.org/a:1", digest=digest, airflow_version="3.3.2")
    configuration = replace(revision.configuration, image=image)
    Revision.objects.filter(pk=revision.pk).update(config=configuration.to_json())


def test_what_nothing_names_goes_after_the_days_and_what_a_revision_names_stays(
    deployment: Deployment, pushed: Any, is_there: Any
) -> None:
    used, unused = pushed(deployment, "v1"), pushed(deployment, "v2")
    also = pushed(deployment, "v2-too", "v2")
    announced = Upload.objects.create(deployment=deployment, contents=Upload.Contents.IMAGE)
    awaited = pushed(deployment, announced.image_tag)
    run(deployment, used)
    assert also == unused

    assert remove_pushed_images(now=NOW) == 0
    assert remove_pushed_images(now=NOW + DAYS - timedelta(minutes=1)) == 0
    assert list(PushedImage.objects.values_list("digest", flat=True)) == [unused]
    assert remove_pushed_images(now=NOW + DAYS) == 1

    there = [is_there(deployment, one) for one in (used, awaited, unused)]
    assert there == [True, True, False]
    assert not PushedImage.objects.exists()
    Upload.objects.update(finished_at=NOW)
    assert remove_pushed_images(now=NOW + DAYS) == 0
    assert remove_pushed_images(now=NOW + 2 * DAYS) == 1
    assert not is_there(deployment, awaited)


def test_what_is_run_again_begins_anew_and_another_deployment_may_run_it(
    deployment: Deployment, make_deployment: Any, pushed: Any, is_there: Any, settings: Any
) -> None:
    digest, other = pushed(deployment, "v1"), make_deployment()
    remove_pushed_images(now=NOW)

    run(other, digest)
    assert remove_pushed_images(now=NOW + DAYS) == 0
    assert not PushedImage.objects.exists()
    Deployment.objects.filter(pk=other.pk).update(phase=Phase.DELETED)
    assert remove_pushed_images(now=NOW + DAYS) == 0
    settings.REGISTRY_IMAGE_DAYS = 0
    assert remove_pushed_images(now=NOW + 9 * DAYS) == 0

    assert is_there(deployment, digest)


def test_the_repository_of_a_deleted_deployment_goes_at_once(
    deployment: Deployment, make_deployment: Any, pushed: Any, registry: str, settings: Any
) -> None:
    deleted = make_deployment()
    run(deployment, pushed(deleted, "v2"))
    for name in ("v1", "v3"):
        pushed(deleted, name)
    gone = Deployment.objects.filter(pk=deleted.pk)
    gone.update(phase=Phase.DELETED, deleted_at=NOW - GONE_LASTS)
    assert remove_pushed_images(now=NOW) == 0

    gone.update(deleted_at=NOW)

    # What another one runs stays.
    assert remove_pushed_images(now=NOW) == 2
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED, deleted_at=NOW)
    assert remove_pushed_images(now=NOW) == 1
    assert remove_pushed_images(now=NOW) == 0


def test_a_registry_that_does_not_delete_or_is_away_is_told_to_its_operator(
    deployment: Deployment,
    alice: User,
    secret: str,
    client_of: Any,
    live_server: Any,
    settings: Any,
    tmp_path: Path,
) -> None:
    cache.clear()
    port = free_port()
    settings.PORTAL_URL, settings.REGISTRY = live_server.url, f"127.0.0.1:{port}"
    settings.REGISTRY_NETWORKS = ("127.0.0.0/8",)
    (tmp_path / "bundle.pem").write_text(bundle())
    auth = configuration(bundle_path=str(tmp_path / "bundle.pem"))
    image_layout(tmp_path / "layout")
    with running_registry(tmp_path, port=port, auth=auth, deletes=False) as address:
        tag = f"{address}/deployments/{deployment.ref}:v1"
        assert push(tmp_path / "layout", tag, secret).returncode == 0
        remove_pushed_images(now=NOW)

        assert remove_pushed_images(now=NOW + DAYS) == 0

    User.objects.filter(pk=alice.pk).update(is_operator=True)
    client: Client = client_of(User.objects.get(pk=alice.pk))
    page = client.get("/registry/").content.decode()
    check_page(page)
    assert "Set storage.delete.enabled in its configuration" in page
    # It is away now: nothing is forgotten, and nothing fails.
    assert remove_pushed_images(now=NOW + DAYS) == 0
    assert PushedImage.objects.count() == 1
