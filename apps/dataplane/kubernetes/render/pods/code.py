"""A Deployment's code in ConfigMaps: slots of equal size, which every pod mounts as one folder.

No pod is restarted by a deploy of code alone. The kubelet puts new slots into running pods, though
not all at the same moment; the bundle plugin joins them, and uses them when their digest is right.
Code with other packages is in slots of other names: pods that lack the packages never see it.
"""

import hashlib
import json
from base64 import b64encode
from pathlib import Path

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.sizes import MOST_CODE_BYTES, SLOT_BYTES, SLOTS
from apps.dataplane.kubernetes.render.target import Target
from apps.dataplane.spec import CodeSpec

CODE = "code"


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
