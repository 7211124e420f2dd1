"""A registry and a package index beside the node, and what the node needs to pull from it.

The image of the runtime lies in the node's store already: its blobs are linked into the registry,
not copied.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.images import AIRFLOW_VERSION
from tests.cluster.node import Node
from tests.dataplane.project_images.servers import (
    PASSWORD,
    USER,
    Registry,
    running_index,
    running_registry,
)
from tests.kubernetes.certificates import Authority

MIRROR = "mirror/airflow"
MOST_MANIFEST_BYTES = 100_000


@dataclass(frozen=True)
class Beside:
    """What runs beside the node."""

    registry: Registry
    index: str

    def settings(self) -> dict[str, str]:
        """Return what is filled into the settings of the cluster, by field."""
        host = self.registry.host
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {
            "image_pull_secret": json.dumps({"auths": {host: {"auth": pair}}}),
            "registry_repository": f"{host}/data/airflow",
            "registry_user": USER,
            "registry_password": PASSWORD,
            "registry_ca": self.registry.authority.certificate,
            "runtime_repository": f"{host}/{MIRROR}",
            "package_index": self.index,
        }


@contextmanager
def running_beside(node: Node, folder: Path) -> Iterator[Beside]:
    address, authority = node.layout.host_address, Authority("images of a node")
    storage = folder / "registry" / "data/docker/registry/v2"
    _link_runtime(node.layout.store / "io.containerd.content.v1.content/blobs/sha256", storage)
    with (
        running_registry(folder / "registry", authority, address) as registry,
        running_index(folder, authority.server(address), address) as index,
    ):
        trust = node.layout.registries / registry.host
        trust.mkdir(parents=True)
        (trust / "ca.pem").write_text(authority.certificate)
        server, ca = f"https://{registry.host}", f'ca = "{trust}/ca.pem"'
        # What a host lacks is asked for at the server once more, which needs the CA, too.
        (trust / "hosts.toml").write_text(
            f'server = "{server}"\n{ca}\n'
            f'[host."{server}"]\ncapabilities = ["pull", "resolve"]\n{ca}\n'
        )
        yield Beside(registry, index)


def _link_runtime(store: Path, storage: Path) -> None:
    digest, manifest = _runtime_manifest(store)
    layers = [layer["digest"] for layer in manifest["layers"]]
    for blob in (digest, manifest["config"]["digest"], *layers):
        name = blob.removeprefix("sha256:")
        data = storage / "blobs/sha256" / name[:2] / name / "data"
        data.parent.mkdir(parents=True)
        data.symlink_to(store / name)
        if blob != digest:
            _link(storage / f"repositories/{MIRROR}/_layers/sha256/{name}/link", blob)
    place = storage / f"repositories/{MIRROR}/_manifests"
    name = digest.removeprefix("sha256:")
    _link(place / f"revisions/sha256/{name}/link", digest)
    _link(place / f"tags/{AIRFLOW_VERSION}/current/link", digest)
    _link(place / f"tags/{AIRFLOW_VERSION}/index/sha256/{name}/link", digest)


def _link(path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(digest)


def _runtime_manifest(store: Path) -> tuple[str, dict[str, Any]]:
    """Return digest and manifest of the newest image of an Airflow in containerd's store.

    The store is kept between runs and holds what projects made of it, too: that has more layers.
    """
    small = [path for path in store.iterdir() if path.stat().st_size < MOST_MANIFEST_BYTES]
    for path in sorted(small, key=lambda one: one.stat().st_mtime, reverse=True):
        found = _json(path)
        if len(found.get("layers", ())) != 1:
            continue
        config = _json(store / found["config"]["digest"].removeprefix("sha256:"))
        if any("AIRFLOW_VERSION=" in one for one in config.get("config", {}).get("Env", [])):
            return f"sha256:{path.name}", found
    raise AssertionError("containerd has no image of an Airflow.")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
