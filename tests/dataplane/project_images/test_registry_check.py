"""The test of a cluster's registry, with a real one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.dataplane.kubernetes.config import Registry as Settings
from apps.dataplane.kubernetes.registration.images.image_removal import remove_image
from apps.dataplane.kubernetes.registration.images.registry import registry_finding
from tests.dataplane.project_images.servers import (
    PASSWORD,
    REGISTRY,
    USER,
    Registry,
    free_port,
    running_registry,
)
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed"),
]
HERE = ("127.0.0.0/8",)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder: Path = tmp_path_factory.mktemp("check")
    with running_registry(folder, Authority("check"), "127.0.0.1") as registry:
        yield registry


@pytest.fixture
def settings(registry: Registry) -> Settings:
    return Settings(
        repository=f"{registry.host}/data/airflow",
        user=USER,
        password=PASSWORD,
        ca_certificate=registry.authority.certificate,
    )


def at(settings: Settings | None, networks: tuple[str, ...] = HERE) -> ClusterConfig:
    connection = Connection(server="https://c.test", ca_certificate="", networks=networks)
    return ClusterConfig(
        connection=connection, portal_id="p", airflow_url="", has_keda=False, registry=settings
    )


def test_an_image_is_removed_and_what_hinders_is_said(
    settings: Settings, registry: Registry
) -> None:
    digest = registry.push_image("data/airflow", "packages-1")
    image = f"{settings.repository}@{digest}"

    for changed, kind, words in (
        (replace(settings, password="another"), Permanent, "does not let the portal remove"),
        (replace(settings, ca_certificate=""), Temporary, "does not answer the portal"),
        (replace(settings, repository="elsewhere.example.org/a"), Permanent, "any more"),
    ):
        with pytest.raises(kind, match=words):
            remove_image(at(changed), image=image)
    assert registry.manifest("data/airflow", digest)
    remove_image(at(settings), image=image)
    with pytest.raises(HTTPError, match="404"):
        registry.manifest("data/airflow", digest)
    remove_image(at(settings), image=image)


def said(settings: Settings | None, networks: tuple[str, ...] = HERE) -> tuple[bool, str]:
    found = registry_finding(at(settings, networks))
    return (found[0].is_ok, found[0].detail) if found else (True, "")


def test_the_portal_pushes_and_pulls_a_blob(settings: Settings) -> None:
    assert said(settings) == (
        True,
        f"The portal can push to {settings.repository} and pull from it.",
    )
    assert said(None) == (True, "")


def test_what_is_wrong_is_said(settings: Settings) -> None:
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}/data"
    for changed, networks, says in (
        (replace(settings, password="another"), HERE, "It refuses the user and password"),
        (replace(settings, user="", password=""), HERE, "It refuses the user and password"),
        (replace(settings, ca_certificate=""), HERE, "Its certificate is not trusted."),
        (replace(settings, repository=nowhere), HERE, "It does not answer the portal."),
        (settings, (), "an address of the portal's own machine"),
    ):
        is_ok, detail = said(changed, networks)
        assert not is_ok
        assert says in detail
        assert PASSWORD not in detail
