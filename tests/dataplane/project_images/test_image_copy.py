"""An image goes from the registry of one cluster to that of another: two real ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import pytest

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.config import Registry as Settings
from apps.dataplane.kubernetes.registration.images.image_copy import copy_image
from tests.dataplane.project_images.faults import faulty_registry
from tests.dataplane.project_images.servers import (
    PASSWORD,
    REGISTRY,
    USER,
    Registry,
    free_port,
    running_registry,
)
from tests.dataplane.project_images.test_registry_check import at
from tests.kubernetes.certificates import Authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REGISTRY is None, reason="docker-registry is not installed"),
]
TARGET = "prod/airflow"


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Registry]]:
    folder: Path = tmp_path_factory.mktemp("copies")
    with (
        running_registry(folder / "dev", Authority("dev"), "127.0.0.1") as dev,
        running_registry(folder / "prod", Authority("prod"), "127.0.0.1") as prod,
    ):
        yield dev, prod


def of(registry: Registry, path: str) -> Settings:
    return Settings(
        repository=f"{registry.host}/{path}",
        user=USER,
        password=PASSWORD,
        ca_certificate=registry.authority.certificate,
    )


def copied(source: Settings, target: Settings, digest: str) -> str:
    return copy_image(at(source), at(target), image=f"{source.repository}@{digest}")


def stored(registry: Registry, digest: str) -> Path:
    name = digest.partition(":")[2]
    return registry.folder / f"data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"


def test_the_image_is_the_same_in_the_other_registry(
    registries: tuple[Registry, Registry],
) -> None:
    dev, prod = registries
    source, target = of(dev, "dev/airflow"), of(prod, TARGET)
    digest = dev.push_image("dev/airflow", "packages-1")

    assert copied(source, target, digest) == f"{target.repository}@{digest}"

    # As a node pulls it: by digest, with all that it names.
    body = prod.call(
        "GET",
        f"/v2/{TARGET}/manifests/{digest}",
        Accept="application/vnd.oci.image.manifest.v1+json",
    ).read()
    assert f"sha256:{hashlib.sha256(body).hexdigest()}" == digest
    manifest = prod.manifest(TARGET, digest)
    for blob in (manifest["config"], *manifest["layers"]):
        content = prod.blob(TARGET, blob["digest"])
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == blob["digest"]
    # Registries may clean up what has no tag.
    assert prod.manifest(TARGET, f"promoted-{digest[7:47]}") == manifest
    assert copied(source, target, digest) == f"{target.repository}@{digest}"


def test_a_large_layer_is_streamed_and_nothing_of_it_is_sent_twice(
    registries: tuple[Registry, Registry],
) -> None:
    dev, prod = registries
    digest = dev.push_image("dev/large", "packages-1", layer=bytes(range(256)) * 4096 * 32)
    copied(of(dev, "dev/large"), of(prod, "prod/large"), digest)
    asked = (prod.folder / "log").read_text().count("PATCH /v2/prod/large/blobs")

    copied(of(dev, "dev/large"), of(prod, "prod/large"), digest)

    log = (prod.folder / "log").read_text()
    assert asked == 2
    assert log.count("PATCH /v2/prod/large/blobs") == asked


def test_within_one_registry_blobs_are_mounted_and_not_sent(
    registries: tuple[Registry, Registry],
) -> None:
    dev, _ = registries
    digest = dev.push_image("team/one", "packages-1")

    copied(of(dev, "team/one"), of(dev, "team/two"), digest)

    assert dev.manifest("team/two", digest)
    log = (dev.folder / "log").read_text()
    assert "PATCH /v2/team/two/" not in log
    assert "POST /v2/team/two/blobs/uploads/?mount=" in log
    # In one repository there is nothing to copy.
    assert copied(of(dev, "team/one"), of(dev, "team/one"), digest).endswith(digest)


def test_what_hinders_is_said_and_nothing_is_stored(
    registries: tuple[Registry, Registry],
) -> None:
    dev, prod = registries
    source, target = of(dev, "dev/hindered"), of(prod, "prod/hindered")
    digest = dev.push_image("dev/hindered", "packages-1")
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}/data"

    cases: list[tuple[Settings, Settings, type[DataPlaneError], str]] = [
        (replace(source, password="x"), target, Permanent, "the image comes from refuses the cred"),
        (source, replace(target, password="x"), Permanent, "of this cluster refuses the credent"),
        (
            source,
            replace(target, ca_certificate=""),
            Permanent,
            "of this cluster has a certificate",
        ),
        (replace(source, repository=nowhere), target, Temporary, "comes from does not answer"),
        (source, replace(target, repository=nowhere), Temporary, "cluster does not answer"),
    ]
    for origin, place, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            copied(origin, place, digest)
        assert PASSWORD not in caught.value.message
    with pytest.raises(Permanent, match="is not in its registry any more. Deploy the same code"):
        copied(source, target, f"sha256:{'0' * 64}")
    with pytest.raises(Permanent, match="a registry that its cluster does not have any more"):
        copy_image(at(source), at(target), image=f"old.example.org/a@{digest}")
    with pytest.raises(Permanent, match="cannot be asked. .*own machine"):
        copy_image(at(source), at(target, ()), image=f"{source.repository}@{digest}")
    with pytest.raises(HTTPError, match="404"):
        prod.manifest("prod/hindered", digest)


def test_a_blob_that_is_another_or_gone_never_becomes_an_image(
    registries: tuple[Registry, Registry],
) -> None:
    dev, prod = registries
    source, target = of(dev, "dev/broken"), of(prod, "prod/broken")
    digest = dev.push_image("dev/broken", "packages-1", layer=b"another layer of this test")
    layer = dev.manifest("dev/broken", digest)["layers"][0]
    place = stored(dev, layer["digest"])
    place.write_bytes(bytes(layer["size"]))

    with pytest.raises(Permanent, match="returns something else than the image"):
        copied(source, target, digest)
    place.write_bytes(b"short")
    with pytest.raises(DataPlaneError, match="that the image comes from"):
        copied(source, target, digest)
    place.unlink()
    with pytest.raises(Permanent, match="is not whole in its registry any more"):
        copied(source, target, digest)

    with pytest.raises(HTTPError, match="404"):
        prod.manifest("prod/broken", digest)


def test_a_registry_that_is_full_or_goes_away_in_the_middle(
    registries: tuple[Registry, Registry],
) -> None:
    dev, prod = registries
    source = of(dev, "dev/faulty")
    digest = dev.push_image("dev/faulty", "packages-1", layer=bytes(range(256)) * 4096 * 8)
    with faulty_registry(prod) as faulty:
        target = replace(of(prod, "prod/faulty"), repository=f"{faulty.host}/prod/faulty")
        faulty.fault, faulty.times = "cut", 100
        with pytest.raises(Temporary, match="The registry of this cluster does not answer"):
            copied(source, target, digest)
        for fault, body in (("507", ""), ("500", '{"errors": [{"detail": {"Err":28}}]}')):
            faulty.fault, faulty.body = fault, body
            with pytest.raises(Permanent, match="has no room for the image"):
                copied(source, target, digest)
        with pytest.raises(HTTPError, match="404"):
            prod.manifest("prod/faulty", digest)

        # What is cut once is sent again.
        faulty.fault, faulty.times, faulty.seen = "cut", 1, 0
        copied(source, target, digest)

    assert faulty.seen > 1
    assert prod.manifest("prod/faulty", digest)
