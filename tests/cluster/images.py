"""The images that our manifests and KEDA's name, made on this machine."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from apps.dataplane.kubernetes.render.prometheus import exporter
from tests.cluster import builds, keda
from tests.cluster.oci import Archive, Image
from tests.cluster.root_file_system import SOURCES, contents_hash, ensure_root_file_system
from tests.kubernetes.assets import EXPORTER, exporter_folder
from tests.kubernetes.go_builds import say

AIRFLOW_VERSION = "3.3.2"
PAUSE = "registry.k8s.io/pause:3.10"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ImageSet:
    """Images that are imported together. `key` changes when they do."""

    name: str
    key: str
    images: tuple[Image, ...]

    def write(self, folder: Path) -> Path:
        """Write the archive to import into `folder`; return its path."""
        say(f"Writing the images of {self.name}")
        folder.mkdir(parents=True, exist_ok=True)
        archive = Archive(folder)
        for image in self.images:
            archive.add(image)
        path = folder / f"{self.name}.tar"
        archive.write(path)
        return path


def image_sets(cache: Path) -> Iterator[ImageSet]:
    """Make what is not made yet, and yield all that a node holds."""
    yield _pause_images(cache / "image")
    root = ensure_root_file_system(cache / "image")
    images = tuple(Image(name, root, config) for name, config in _ENTRIES.items())
    key = sha256(f"{contents_hash(cache / 'image')} {_ENTRIES}".encode()).hexdigest()
    yield ImageSet("airflow", key, images)
    yield _keda_images(cache / "image", builds.keda_programs())
    yield _exporter_image(cache / "image", exporter_folder())


def _pause_images(folder: Path) -> ImageSet:
    tree = folder / "pause"
    source = SOURCES / "pause.c"
    key = sha256(source.read_bytes()).hexdigest()
    if not (tree / "pause").exists():
        tree.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-Os", "-static", "-s", "-o", tree / "pause", source], check=True)
    config = {"Entrypoint": ["/pause"], "User": "65535:65535"}
    return ImageSet("pause", key, (Image(PAUSE, tree, config),))


def _keda_images(folder: Path, binaries: Path) -> ImageSet:
    images = []
    for image in keda.IMAGES:
        tree = folder / image.binary
        tree.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binaries / image.binary, tree / image.path)
        config = {
            "Entrypoint": [f"/{image.path}"],
            "User": "65532:65532",
            "WorkingDir": "/",
            "Env": [f"PATH={PATH}"],
        }
        images.append(Image(image.name, tree, config))
    # The folder is named by what its binaries were built from.
    return ImageSet("keda", binaries.name, tuple(images))


def _exporter_image(folder: Path, binaries: Path) -> ImageSet:
    tree = folder / EXPORTER.name
    (tree / "bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(binaries / EXPORTER.name, tree / "bin")
    config = {"Entrypoint": [f"/bin/{EXPORTER.name}"], "User": "65534"}
    image = Image(f"docker.io/{exporter.IMAGE}", tree, config)
    return ImageSet("exporter", binaries.name, (image,))


# Name → how it is started; users, folders and stop signals as the official images have them.
_ENTRIES: dict[str, dict[str, Any]] = {
    f"docker.io/apache/airflow:{AIRFLOW_VERSION}": {
        "Entrypoint": ["/usr/bin/dumb-init", "--", "/airflow-entrypoint"],
        "User": "50000",
        "WorkingDir": "/opt/airflow",
        "Env": [
            f"PATH=/home/airflow/.local/bin:{PATH}",
            "AIRFLOW_HOME=/opt/airflow",
            "AIRFLOW_UID=50000",
            f"AIRFLOW_VERSION={AIRFLOW_VERSION}",
            "DUMB_INIT_SETSID=1",
            "HOME=/home/airflow",
            "LANG=C.UTF-8",
            "LC_ALL=C.UTF-8",
            "PYTHONUNBUFFERED=1",
        ],
    },
    "docker.io/library/redis:7.2-bookworm": {
        "Entrypoint": ["/redis-entrypoint"],
        "Cmd": ["redis-server"],
        "WorkingDir": "/data",
        "Env": [f"PATH={PATH}"],
    },
    "docker.io/library/postgres:15-bookworm": {
        "Entrypoint": ["/postgres-entrypoint"],
        "Cmd": ["postgres"],
        "StopSignal": "SIGINT",
        "Env": [f"PATH={PATH}", "PGDATA=/var/lib/postgresql/data", "LANG=C.UTF-8"],
    },
}
