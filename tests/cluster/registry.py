"""A registry and a package index beside the node, and what the node needs to pull from it.

Images that lie in the node's store already are linked into the registry, not copied.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.dataplane.kubernetes.render.prometheus import exporter
from tests.cluster.images import AIRFLOW_VERSION
from tests.cluster.node import Node
from tests.dataplane.project_images.servers import (
    OCI,
    PASSWORD,
    USER,
    Registry,
    running_index,
    running_registry,
)
from tests.kubernetes.certificates import Authority

RUNTIME = f"apache/airflow:{AIRFLOW_VERSION}"
COPY, HUB = "mirror/airflow", "docker-hub"
# What an Airflow is made of, at Docker Hub.
IMAGES = (RUNTIME, exporter.IMAGE, "library/postgres:15-bookworm", "library/redis:7.2-bookworm")


@dataclass(frozen=True)
class Beside:
    """What runs beside the node."""

    registry: Registry
    index: str

    def settings(self) -> dict[str, str]:
        """Return what is filled into the settings of the cluster, by field."""
        host = self.registry.host
        return {
            "image_pull_secret": sign_in(self.registry),
            "registry_repository": f"{host}/data/airflow",
            "registry_user": USER,
            "registry_password": PASSWORD,
            "registry_ca": self.registry.authority.certificate,
            "runtime_repository": f"{host}/{COPY}",
            "package_index": self.index,
        }


@dataclass(frozen=True)
class Mirror:
    """A registry with copies of Docker Hub's images, at `path`."""

    registry: Registry
    node: Node

    @property
    def path(self) -> str:
        return f"{self.registry.host}/{HUB}"

    @contextmanager
    def without(self, image: str) -> Iterator[None]:
        """Let the mirror lack an image, and the node, too."""
        name, _, tag = image.rpartition(":")
        manifests = f"/v2/{HUB}/{name}/manifests"
        with self.registry.call("GET", f"{manifests}/{tag}", Accept=OCI) as answer:
            manifest, digest = answer.read(), answer.headers["Docker-Content-Digest"]
        self.registry.call("DELETE", f"{manifests}/{digest}").close()
        config = json.loads(manifest)["config"]["digest"]
        self.node.forget_images(f"{self.path}/{image}", config)
        try:
            yield
        finally:
            self.registry.call("PUT", f"{manifests}/{tag}", manifest, Content_Type=OCI).close()


@contextmanager
def running_beside(node: Node, folder: Path) -> Iterator[Beside]:
    address, authority = node.layout.host_address, Authority("images of a node")
    with (
        _running_registry(node, folder / "registry", authority) as registry,
        running_index(folder, authority.server(address), address) as index,
    ):
        _link_image(node, registry, RUNTIME, COPY)
        yield Beside(registry, index)


@contextmanager
def running_mirror(node: Node, folder: Path) -> Iterator[Mirror]:
    with _running_registry(node, folder, Authority("a mirror")) as registry:
        for image in IMAGES:
            _link_image(node, registry, image, f"{HUB}/{image.rpartition(':')[0]}")
        yield Mirror(registry, node)


def sign_in(registry: Registry) -> str:
    """Return the pull secret of a registry."""
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return json.dumps({"auths": {registry.host: {"auth": pair}}})


@contextmanager
def _running_registry(node: Node, folder: Path, authority: Authority) -> Iterator[Registry]:
    """Run a registry that the node trusts."""
    with running_registry(folder, authority, node.layout.host_address) as registry:
        trust = node.layout.registries / registry.host
        trust.mkdir(parents=True)
        (trust / "ca.pem").write_text(authority.certificate)
        server, ca = f"https://{registry.host}", f'ca = "{trust}/ca.pem"'
        # What a host lacks is asked for at the server once more, which needs the CA, too.
        (trust / "hosts.toml").write_text(
            f'server = "{server}"\n{ca}\n'
            f'[host."{server}"]\ncapabilities = ["pull", "resolve"]\n{ca}\n'
        )
        yield registry


def _link_image(node: Node, registry: Registry, image: str, repository: str) -> None:
    store = node.layout.store / "io.containerd.content.v1.content/blobs/sha256"
    storage = registry.folder / "data/docker/registry/v2"
    digest, tag = node.digest_of(f"docker.io/{image}"), image.rpartition(":")[2]
    manifest = json.loads((store / digest.removeprefix("sha256:")).read_bytes())
    layers = [layer["digest"] for layer in manifest["layers"]]
    for blob in (digest, manifest["config"]["digest"], *layers):
        name = blob.removeprefix("sha256:")
        data = storage / "blobs/sha256" / name[:2] / name / "data"
        if not data.is_symlink():
            data.parent.mkdir(parents=True)
            data.symlink_to(store / name)
        if blob != digest:
            _link(storage / f"repositories/{repository}/_layers/sha256/{name}/link", blob)
    place = storage / f"repositories/{repository}/_manifests"
    name = digest.removeprefix("sha256:")
    _link(place / f"revisions/sha256/{name}/link", digest)
    _link(place / f"tags/{tag}/current/link", digest)
    _link(place / f"tags/{tag}/index/sha256/{name}/link", digest)


def _link(path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(digest)
