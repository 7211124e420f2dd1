"""Deliveries by programs: announce one, note what was uploaded, and make it a deploy."""

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Conflict, PortalError
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment
from apps.deploys.archives.building import PROJECT, ArchiveRefused, Limits
from apps.deploys.deliveries.origins import NOT_KNOWN, Origin
from apps.deploys.deliveries.recording import NothingChanged
from apps.deploys.deliveries.services import (
    Delivery,
    StorageFull,
    accept_upload,
    deliver_image,
)
from apps.deploys.incoming import blobs
from apps.deploys.incoming.images import ensure_takes_images, look_up_pushed
from apps.deploys.models import Preview, Upload
from apps.deploys.previews.services import submit

PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from apps.deploys.incoming.tarballs import main; main()"
)
CHUNK_BYTES = 256 * 1024
FILE_NAME = "dags.zip"


def begin_upload(
    *,
    actor: User,
    deployment: Deployment,
    description: str,
    contents: Upload.Contents = Upload.Contents.DAGS,
    image: str = "",
    origin: Origin = NOT_KNOWN,
) -> Upload:
    """Announce a delivery. Nothing of the Deployment changes before it is finished. `image` names
    one of another registry; without it one is pushed to the portal's. `origin` is the commit.

    Raises Refused for an image where none can be deployed, and ImageNameWrong.
    """
    if contents != Upload.Contents.DAGS:
        ensure_takes_images(actor=actor, deployment=deployment, image=image)
    return Upload.objects.create(
        deployment=deployment,
        contents=contents,
        image=image.strip(),
        origin=origin.as_json(),
        description=description[:500],
        created_by=actor,
    )


def note_uploaded(*, upload: Upload) -> str:
    """Give what was uploaded last a name, and return it."""
    upload.version = secrets.token_hex(12)
    upload.save(update_fields=["version"])
    return upload.version


def finish_upload(*, actor: User, upload: Upload, version: str) -> Upload:
    """Make what was uploaded a deploy; where it brings packages, first a preview, which becomes one
    by itself unless something is wrong with it. Code that runs already is no failure; a second call
    returns what the first made.

    Raises Conflict where nothing was uploaded or pushed, or not this version, and as `submit` and
    `deliver_image` do. An image and its DAGs are accepted both, or neither.
    """
    if upload.finished_at is not None:
        return upload
    tarball = blobs.whole_of(upload.name)
    if not upload.has_image and (tarball is None or not upload.version):
        raise Conflict("Nothing was uploaded for this deploy. Upload the code first.")
    if version and version != upload.version:
        raise Conflict("Another version was uploaded since. Deploy again.")
    try:
        image = look_up_pushed(upload=upload) if upload.has_image else None
        upload = _finish(actor, upload, tarball, image)
    except PortalError as error:
        Upload.objects.filter(pk=upload.pk).update(failure=error.message[:1000])
        raise
    blobs.remove(upload.name)
    return upload


@transaction.atomic
def _finish(actor: User, upload: Upload, tarball: Path | None, image: OwnImage | None) -> Upload:
    """Deliver it and note what became of it, both or neither; once, however many ask."""
    above = ("deployment__cluster", "deployment__wanted", "created_by")
    rows = Upload.objects.select_related(*above).select_for_update(of=("self",))
    upload = rows.get(pk=upload.pk)
    if upload.finished_at is not None:
        return upload
    made = _deliver(actor, upload, tarball, image)
    upload.deploy = made.deploy if isinstance(made, Delivery) else None
    upload.preview = made if isinstance(made, Preview) else None
    upload.failure, upload.finished_at = "", timezone.now()
    upload.save(update_fields=["deploy", "preview", "failure", "finished_at"])
    return upload


def _deliver(
    actor: User, upload: Upload, tarball: Path | None, image: OwnImage | None
) -> Delivery | Preview | None:
    """Deliver it, or begin to; None where the Deployment has exactly this already."""
    with tempfile.TemporaryDirectory(prefix="portal-upload-") as folder:
        archive = _zip_of(tarball, Path(folder)) if tarball is not None else None
        try:
            if image is not None:
                return _with_image(actor, upload, archive, image)
            return submit(
                actor=actor,
                deployment=upload.deployment,
                file_name=FILE_NAME,
                chunks=_chunks(archive) if archive else (),
                description=upload.description,
                origin=Origin(**upload.origin),
            )
        except NothingChanged:
            return None


def _with_image(actor: User, upload: Upload, archive: Path | None, image: OwnImage) -> Delivery:
    code, needs = None, None
    if archive is not None:
        code, needs = accept_upload(
            deployment=upload.deployment, file_name=FILE_NAME, chunks=_chunks(archive)
        )
    if needs:
        raise ArchiveRefused(
            "An image brings its packages with it. Install what requirements.txt asks for in the "
            "Dockerfile and leave it out of the upload, or deploy the project without an image."
        )
    return deliver_image(
        actor=actor,
        deployment=upload.deployment,
        image=image,
        description=upload.description,
        archive=code,
        origin=Origin(**upload.origin),
    )


def _zip_of(tarball: Path, folder: Path) -> Path:
    """Convert an upload into a zip, in a process with limits. Raises ArchiveRefused."""
    limits = Limits(max_unpacked_bytes=10 * settings.CODE_ARCHIVE_MAX_BYTES)
    output = folder / "upload.zip"
    job = {
        "upload": str(tarball),
        "output": str(output),
        "max_files": limits.max_files,
        "max_file_bytes": limits.max_file_bytes,
        "max_unpacked_bytes": limits.max_unpacked_bytes,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
    }
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", PROGRAM, str(PROJECT)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job),
            capture_output=True,
            text=True,
            timeout=limits.wall_seconds,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ArchiveRefused("Reading the archive takes too long. Deploy less at once.") from None
    if done.stdout.strip():
        raise ArchiveRefused(done.stdout.strip())
    if "No space left" in done.stderr:
        raise StorageFull
    if done.returncode:
        raise ArchiveRefused("Reading the archive takes too much time or memory. Make it smaller.")
    return output


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
