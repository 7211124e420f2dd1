"""An image of people's own goes along with a promotion, by its digest."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment
from apps.deploys.deliveries.services import deliver_image
from apps.deploys.models import Deploy
from apps.deploys.promotion import services
from apps.deploys.promotion.images import DoesNotFit
from apps.organizations.models import Organization, Workspace
from apps.registry.scopes import scopes_in
from apps.registry.services import _access_of_robot
from tests.conftest import CONFIG, new_deployment
from tests.core.pages import check_page
from tests.deploys.test_deploy_pages import settle
from tests.deploys.test_promotions import upload

HOST = "registry.example.org:5000"
DIGEST = f"sha256:{'4b' * 32}"
QUEUE = {**CONFIG["queues"][0], "size": "A5"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _storage(settings: Any, tmp_path: Path) -> None:
    settings.REGISTRY = HOST
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    cache.clear()


@pytest.fixture
def far(organization: Organization, plane: Any) -> Cluster:
    return Cluster.objects.create(
        organization=organization,
        kind=Cluster.Kind.KUBERNETES,
        name="eu-1",
        server="https://k.test",
        credential=b"x",
    )


@pytest.fixture
def dev(alice: User, workspace: Workspace, far: Cluster) -> Deployment:
    made = new_deployment(workspace=workspace, cluster=far, config={"queues": [QUEUE]}, name="dev")
    upload(alice, made)
    return made


@pytest.fixture
def prod(workspace: Workspace, far: Cluster) -> Deployment:
    config = {"queues": [QUEUE], "runtime": "3.2.2-1"}
    return new_deployment(workspace=workspace, cluster=far, config=config, name="prod")


def with_image(actor: User, deployment: Deployment, name: str = "", **fields: Any) -> OwnImage:
    name = name or f"{HOST}/deployments/{deployment.ref}:1.4"
    image = OwnImage(name=name, digest=DIGEST, airflow_version="3.3.2", **fields)
    deliver_image(actor=actor, deployment=deployment, image=image)
    settle(deployment)
    deployment.refresh_from_db()
    return image


def promote(actor: User, dev: Deployment, prod: Deployment, number: int = 2) -> Deploy | None:
    prod.refresh_from_db()
    assert prod.wanted
    numbers = {"deploy_number": number, "base_revision_number": prod.wanted.number}
    return services.promote(actor=actor, source=dev, target=prod, **numbers).deploy


def pulled_by(deployment: Deployment, other: Deployment) -> list[str]:
    asked = scopes_in([f"repository:deployments/{other.ref}:pull,push"])
    return [action for one in _access_of_robot(deployment.ref, asked) for action in one.actions]


def test_the_image_of_the_source_runs_in_the_target_by_the_same_digest(
    alice: User, dev: Deployment, prod: Deployment, client_of: Callable[[User], Client]
) -> None:
    image = with_image(alice, dev)
    assert pulled_by(prod, dev) == []
    page = client_of(alice).get(f"/d/{dev.ref}/deploys/compare/?to={prod.ref}").content.decode()
    check_page(page)
    assert f"{image.name} ({DIGEST[:19]})" in page

    made = promote(alice, dev, prod)

    assert made
    prod.refresh_from_db()
    assert prod.wanted
    assert dev.wanted
    assert prod.wanted.configuration.image == image
    assert prod.wanted.configuration.runtime == "3.3.2-1"
    assert (prod.wanted.code_digest, made.image_digest) == (dev.wanted.code_digest, DIGEST)
    assert pulled_by(prod, dev) == ["pull"], "nodes pull what was promoted where it is"
    assert pulled_by(dev, prod) == []


def test_an_image_with_a_pull_secret_needs_one_of_the_target(
    alice: User, dev: Deployment, prod: Deployment, workspace: Workspace
) -> None:
    other = "ghcr.io/acme/etl:1"
    with_image(alice, dev, other)
    assert dev.wanted
    secret = "6f7d3f70-0000-4000-8000-000000000001"
    configuration = dev.wanted.configuration
    assert configuration.image
    config = replace(configuration, image=replace(configuration.image, secret_id=secret)).to_json()
    dev.revisions.update(config=config)
    dev.refresh_from_db()

    with pytest.raises(DoesNotFit, match="needs a pull secret, which is not promoted"):
        promote(alice, dev, prod)

    assert not Deploy.objects.filter(deployment=prod).exists()


def test_a_target_on_this_machine_takes_no_image(
    alice: User, dev: Deployment, deployment: Deployment
) -> None:
    with_image(alice, dev)

    with pytest.raises(DoesNotFit, match="runs no images"):
        promote(alice, dev, deployment)


def test_a_name_in_a_configuration_alone_lets_nothing_be_pulled(
    dev: Deployment, prod: Deployment
) -> None:
    """What was found out for one Deployment can be pasted into the form of another."""
    image = OwnImage(name=f"{HOST}/deployments/{dev.ref}:1.4", digest=DIGEST)
    assert prod.wanted
    prod.revisions.update(config=replace(prod.wanted.configuration, image=image).to_json())

    assert pulled_by(prod, dev) == []
