"""Write container images as one archive in the OCI layout, as `ctr images import` takes it.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# Not compressed: nothing goes over a network.
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORM = {"architecture": "amd64", "os": "linux"}


@dataclass(frozen=True)
class Image:
    """A name such as `docker.io/library/redis:7.2`, the tree it holds, and how it is started."""

    name: str
    tree: Path
    config: dict[str, Any]


@dataclass
class Archive:
    """Collects blobs, then writes them. Images with the same tree share their one layer."""

    folder: Path
    blobs: dict[str, bytes | Path] = field(default_factory=dict)
    manifests: list[dict[str, Any]] = field(default_factory=list)
    layers: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def add(self, image: Image) -> None:
        layer = self._layer(image.tree)
        root = {"type": "layers", "diff_ids": [layer["digest"]]}
        config = self._json({**PLATFORM, "config": image.config, "rootfs": root})
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **config},
            "layers": [layer],
        }
        annotations = {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
        }
        self.manifests.append(
            {
                "mediaType": MANIFEST,
                **self._json(manifest),
                "platform": PLATFORM,
                "annotations": annotations,
            }
        )

    def write(self, path: Path) -> None:
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests}
        with tarfile.open(path, "w") as archive:
            _put(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _put(archive, "index.json", json.dumps(index).encode())
            for digest, content in self.blobs.items():
                _put(archive, f"blobs/sha256/{digest}", content)
        for layer in self.folder.glob("*.layer"):
            layer.unlink()

    def _layer(self, tree: Path) -> dict[str, Any]:
        if tree not in self.layers:
            path = self.folder / f"{len(self.layers)}.layer"
            pack = ["tar", "-C", str(tree), "--numeric-owner", "--sort=name", "-cf", str(path)]
            left_out = [
                f"--exclude=./{name}/*" for name in ("proc", "sys", "dev", "tmp", "run/uv*")
            ]
            subprocess.run([*pack, *left_out, "--exclude=./run/uv", "."], check=True)
            with path.open("rb") as packed:
                digest = file_digest(packed, "sha256").hexdigest()
            self.blobs[digest] = path
            size = path.stat().st_size
            self.layers[tree] = {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": size}
        return self.layers[tree]

    def _json(self, value: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(value).encode()
        digest = sha256(data).hexdigest()
        self.blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}


def _put(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        return
    entry.size = content.stat().st_size
    with content.open("rb") as file:
        archive.addfile(entry, file)
