"""A Deployment's code in ConfigMaps: slots of equal size, which every pod mounts as one folder.

No pod is restarted by a deploy of code alone. The kubelet puts new slots into running pods, though
not all at the same moment; the bundle plugin joins them, and uses them when their digest is right.
Code with other packages is in slots of other names: pods that lack the packages never see it.

Airflow loads plugins when a process starts. So those of a project are files of a ConfigMap that is
named by their content, and pods are replaced when another one takes its place.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.places import EXTENSION
from apps.dataplane.kubernetes.render.sizes import (
    MOST_CODE_BYTES,
    MOST_PLUGIN_BYTES,
    MOST_PLUGIN_FILES,
    SLOT_BYTES,
    SLOTS,
)
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.project_checks.layout import is_project, plugin_paths
from apps.dataplane.spec import CodeSpec

CODE = "code"
VOLUME = "extension"


@dataclass(frozen=True)
class Plugins:
    """The plugins of a project and what they import, by path; `name` is that of their ConfigMap."""

    name: str
    files: Mapping[str, bytes]


def slot_names(target: Target) -> tuple[str, ...]:
    """Return the names of all slots there may be beside the packages of the Deployment."""
    packages = target.spec.packages
    prefix = f"code-{packages.digest[:8]}" if packages else "code"
    return tuple(f"{prefix}-{number}" for number in range(SLOTS))


def code_slots(target: Target) -> tuple[Manifest, ...]:
    """Return the slots of the code; none while there is no code.

    Slot `code-N` holds the file `part-NN`, and the first one also `manifest.json` with the SHA-256
    `digest` of the archive and its number of `parts`. Raises Permanent for an archive that is too
    large or is not the one that was deployed, Temporary when it cannot be read.
    """
    code = target.spec.code
    if code is None:
        return ()
    archive = _read(code)
    parts = [archive[start : start + SLOT_BYTES] for start in range(0, len(archive), SLOT_BYTES)]
    description = json.dumps({"digest": code.digest, "parts": len(parts)})
    slots = []
    for number, part in enumerate(parts):
        data = {"manifest.json": description} if number == 0 else {}
        encoded = {f"part-{number:02}": b64encode(part).decode()}
        name = slot_names(target)[number]
        slots.append(
            target.manifest("ConfigMap", name, component=CODE, data=data, binaryData=encoded)
        )
    return tuple(slots)


def plugins(target: Target) -> Plugins | None:
    """Return the plugins of the code; None where it has none. Raises as `code_slots`, and Permanent
    for more than a ConfigMap holds.
    """
    return _plugins(target.spec.code) if target.spec.code else None


def plugin_objects(target: Target) -> tuple[Manifest, ...]:
    """Return the ConfigMap with the plugins of the code; none where there are none."""
    found = plugins(target)
    if found is None:
        return ()
    data = {
        _key(number): b64encode(one).decode() for number, one in enumerate(found.files.values())
    }
    return (target.manifest("ConfigMap", found.name, component=CODE, binaryData=data),)


def plugin_volumes(target: Target) -> list[dict[str, Any]]:
    """Return the volume with the folder `extension`, in which each file has its path."""
    found = plugins(target)
    if found is None:
        return []
    items = [
        {"key": _key(number), "path": f"{VOLUME}/{path}"} for number, path in enumerate(found.files)
    ]
    return [{"name": VOLUME, "configMap": {"name": found.name, "items": items}}]


def plugin_mounts(target: Target) -> list[dict[str, Any]]:
    """Return the mount of that folder: of the volume itself, a folder of links, Airflow would see a
    loop.
    """
    if plugins(target) is None:
        return []
    return [{"name": VOLUME, "mountPath": EXTENSION, "subPath": VOLUME, "readOnly": True}]


def _key(number: int) -> str:
    return f"file-{number:03}"


# Each pod of a rendering asks.
@lru_cache(maxsize=4)
def _plugins(code: CodeSpec) -> Plugins | None:
    stream = BytesIO(_read(code))
    if not is_zipfile(stream):
        return None
    with ZipFile(stream) as archive:
        sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
        if not is_project(sizes):
            return None
        paths = plugin_paths(sizes, read=archive.read)
        n_bytes = sum(sizes[path] for path in paths)
        if n_bytes > MOST_PLUGIN_BYTES or len(paths) > MOST_PLUGIN_FILES:
            raise Permanent(
                f"The plugins of the project, with the folder include where they import it, are "
                f"{len(paths):,} files of {n_bytes / 1e6:.1f} MB. A Deployment on Kubernetes "
                f"accepts {MOST_PLUGIN_FILES} files of {MOST_PLUGIN_BYTES / 1e6:.1f} MB; put "
                "larger ones into a package or the image."
            )
        files = {path: archive.read(path) for path in paths}
    if not files:
        return None
    digest = hashlib.sha256()
    for path, content in files.items():
        digest.update(f"{path}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return Plugins(name=f"plugins-{digest.hexdigest()[:16]}", files=files)


def _read(code: CodeSpec) -> bytes:
    try:
        archive = Path(code.archive_path).read_bytes()
    except OSError as error:
        raise Temporary(f"The code archive cannot be read: {error.strerror}.") from error
    if len(archive) > MOST_CODE_BYTES:
        raise Permanent(
            f"The code archive has {len(archive) / 1e6:.1f} MB. A Deployment on Kubernetes accepts "
            f"{MOST_CODE_BYTES // 1_000_000} MB of code; put packages and data into the image."
        )
    if hashlib.sha256(archive).hexdigest() != code.digest:
        raise Permanent("The code archive is not the one that was deployed. Deploy the code again.")
    return archive
