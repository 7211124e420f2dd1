"""Images with packages are removed when nothing has named their lock for a week, and not before."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.images import hold_project_image, keep_project_image
from apps.clusters.models import Cluster, ProjectImage
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Phase, Revision
from apps.deploys.models import Preview, PreviewState
from apps.image_retention.sweeping import UNUSED_LASTS, remove_unused_images
from apps.organizations.models import Organization
from tests.clusters.material import registered
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
NOW = timezone.now()
LATER = NOW + UNUSED_LASTS + timedelta(minutes=1)
REPOSITORY = "registry.example.org/data/airflow"
LOCK, OTHER = "a" * 64, "b" * 64
ALLOW = "does not let the portal remove images"


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    return registered(organization, registry_repository=REPOSITORY)


def keep(cluster: Cluster, lock: str = LOCK, repository: str = REPOSITORY) -> str:
    image = f"{repository}@sha256:{lock}"
    keep_project_image(
        cluster=cluster, runtime_image="apache/airflow:3.3.2", packages_digest=lock, image=image
    )
    return image


def removed(plane: type[FakePlane]) -> list[str]:
    return [image for method, image in plane.store.calls if method == "remove_image"]


@pytest.fixture
def on_cluster(deployment: Deployment, remote: Cluster) -> Deployment:
    Deployment.objects.filter(pk=deployment.pk).update(cluster=remote)
    Revision.objects.filter(deployment=deployment).update(packages_digest=LOCK)
    return deployment


def test_an_image_goes_a_week_after_its_deployment(
    on_cluster: Deployment, remote: Cluster, plane: type[FakePlane]
) -> None:
    used, never_used = keep(remote), keep(remote, OTHER)

    assert remove_unused_images(now=NOW) == 0
    assert remove_unused_images(now=LATER) == 1
    assert removed(plane) == [never_used]
    Deployment.objects.filter(pk=on_cluster.pk).update(phase=Phase.DELETED)
    assert remove_unused_images(now=LATER) == 0
    assert remove_unused_images(now=LATER + UNUSED_LASTS + timedelta(minutes=1)) == 1

    assert removed(plane) == [never_used, used]
    assert not ProjectImage.objects.exists()
    assert remove_unused_images(now=LATER) == 0


def test_what_is_used_again_begins_a_new_week(
    on_cluster: Deployment, remote: Cluster, plane: type[FakePlane]
) -> None:
    keep(remote, OTHER)
    remove_unused_images(now=NOW)

    hold_project_image(cluster=remote, packages_digest=OTHER)
    assert remove_unused_images(now=LATER) == 0
    Preview.objects.create(
        deployment=on_cluster,
        number=1,
        state=PreviewState.READY,
        packages_digest=OTHER,
        digest="c" * 64,
        file_name="x.zip",
        size_bytes=1,
    )
    assert remove_unused_images(now=LATER + UNUSED_LASTS * 2) == 0

    Preview.objects.update(state=PreviewState.DISCARDED)
    assert remove_unused_images(now=LATER + UNUSED_LASTS * 3) == 0
    assert remove_unused_images(now=LATER + UNUSED_LASTS * 5) == 1
    assert len(removed(plane)) == 1


def test_what_another_cluster_has_too_or_lies_elsewhere_stays_in_its_registry(
    organization: Organization, on_cluster: Deployment, remote: Cluster, plane: type[FakePlane]
) -> None:
    second = registered(organization, name="eu-2", registry_repository=REPOSITORY)
    keep(second, LOCK)
    keep(remote, LOCK)
    keep(remote, OTHER, "earlier.example.org/data")

    remove_unused_images(now=NOW)
    remove_unused_images(now=LATER)

    assert removed(plane) == []
    assert list(ProjectImage.objects.values_list("cluster", "packages_digest")) == [
        (remote.pk, LOCK)
    ]


@pytest.mark.parametrize("error", [Permanent(f"The registry {ALLOW}."), Temporary("It is away.")])
def test_a_registry_that_keeps_images_is_told_on_the_page_of_its_cluster(
    error: Exception,
    remote: Cluster,
    organization: Organization,
    plane: type[FakePlane],
    alice: User,
    client_of: Callable[[User], Client],
) -> None:
    keep(remote), keep(remote, OTHER)
    plane.store.fail("remove_image", error)  # type: ignore[arg-type]
    remove_unused_images(now=NOW)

    assert remove_unused_images(now=LATER) == 0
    assert len(removed(plane)) == 1  # the others are not asked for
    address = f"/o/{organization.slug}/clusters/{remote.pk}/"
    page = client_of(alice).get(address).content
    check_page(page)
    assert str(error) in page.decode()
    assert "for a week" in page.decode()

    assert remove_unused_images(now=LATER + timedelta(days=1)) == 2
    assert "Unused images" not in client_of(alice).get(address).content.decode()


def test_a_hundred_images_cost_few_questions_where_none_is_due(
    on_cluster: Deployment, remote: Cluster, django_assert_max_num_queries: Any
) -> None:
    for number in range(100):
        keep(remote, f"{number:064}")
    with django_assert_max_num_queries(10):
        remove_unused_images(now=NOW)
