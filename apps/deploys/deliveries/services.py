"""Every delivery of code: checked first, stored once under its digest, then a new revision."""

import errno
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from apps.accounts.models import User
from apps.core.errors import Conflict, PortalError
from apps.deployments.configuration.schema import OwnImage
from apps.deployments.models import Deployment, Operation, Revision
from apps.deployments.reconciling.compiler import code_name
from apps.deploys.archives.building import ArchiveRefused, CodeArchive, Limits, build_archive
from apps.deploys.archives.requirements import Requirements, requirements_of
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.deliveries.images import image_digest_of, image_json
from apps.deploys.deliveries.origins import NOT_KNOWN, Origin, source_of
from apps.deploys.deliveries.queries import (
    current_deploy,
    most_code_bytes,
    most_plugin_bytes,
    next_description,
    reader_of,
    takes_projects,
)
from apps.deploys.deliveries.recording import COPIED, record_deploy, same_code
from apps.deploys.models import Deploy, Kind


class StorageFull(PortalError):
    """The code cannot be kept; nothing has changed."""

    def __init__(self) -> None:
        super().__init__(
            "The portal's disk is full, so the code was not stored and nothing has changed. "
            "Free some space on the machine, then upload it again."
        )


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The result of a delivery. `notes` are messages about what was left out of the upload, and
    what is wrong with it. There is no operation while the deploy waits for its turn.
    """

    deploy: Deploy
    operation: Operation | None
    notes: tuple[str, ...] = ()


def deliver(
    *,
    actor: User | None,
    deployment: Deployment,
    file_name: str,
    chunks: Iterable[bytes],
    description: str = "",
    origin: Origin = NOT_KNOWN,
) -> Delivery:
    """Check an upload that needs no packages, store it, and make it the code of the Deployment.
    Without an actor it counts as a push, whose right was checked before.

    Raises ArchiveRefused, NothingChanged, StorageFull, DeployedByAutomation, and Conflict while
    being deleted. A project with packages is refused: a job checks them, see
    `previews.services.submit`.
    """
    ensure_may_deliver(actor=actor, deployment=deployment)
    archive, needs = accept_upload(deployment=deployment, file_name=file_name, chunks=chunks)
    if needs:
        raise ArchiveRefused(
            "The project needs packages, which are chosen and installed before it is deployed. "
            "Upload it on the page Deploys."
        )
    return deliver_archive(
        actor=actor,
        deployment=deployment,
        archive=archive,
        file_name=file_name,
        description=description,
        origin=origin,
    )


def accept_upload(
    *, deployment: Deployment, file_name: str, chunks: Iterable[bytes]
) -> tuple[CodeArchive, Requirements]:
    """Check an upload and store its clean archive under its digest; nothing uses it yet. Return it,
    without its temporary file, and what it needs beside the runtime.

    Raises ArchiveRefused and StorageFull.
    """
    limits = Limits(
        max_upload_bytes=settings.CODE_ARCHIVE_MAX_BYTES,
        max_unpacked_bytes=10 * settings.CODE_ARCHIVE_MAX_BYTES,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="portal-code-") as folder:
            archive = build_archive(
                name=file_name,
                chunks=chunks,
                folder=Path(folder),
                limits=limits,
                reader=reader_of(deployment),
            )
            needs = requirements_of(archive.project)
            _refuse_packages_on_clusters(deployment, needs)
            _refuse_too_much(deployment, archive)
            _keep(archive)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise
    return archive, needs


def deliver_archive(
    *,
    actor: User | None,
    deployment: Deployment,
    archive: CodeArchive,
    file_name: str,
    description: str = "",
    origin: Origin = NOT_KNOWN,
) -> Delivery:
    """Make a stored archive that needs no packages the code of the Deployment.

    Raises NothingChanged, CodeMissing, and Conflict while being deleted.
    """
    deploy = _of_archive(
        deployment,
        archive,
        file_name,
        description=description,
        created_by=actor,
        **origin.fields(source=source_of(actor)),
    )
    operation = record_deploy(
        actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=origin.reason
    )
    return Delivery(deploy=deploy, operation=operation, notes=archive.notes + archive.warnings)


def deliver_image(
    *,
    actor: User | None,
    deployment: Deployment,
    image: OwnImage,
    description: str = "",
    archive: CodeArchive | None = None,
    file_name: str = "",
    origin: Origin = NOT_KNOWN,
) -> Delivery:
    """Run an image that was looked up, with the code that runs, or with that of an archive that
    needs no packages. `origin` is the commit that it was built of.

    Raises NothingChanged, InvalidConfiguration where it does not fit, DeployedByAutomation, and
    Conflict while being deleted.
    """
    ensure_may_deliver(actor=actor, deployment=deployment)
    kept = {
        "image": image_json(image),
        "image_digest": image.digest,
        "description": description,
        "created_by": actor,
        **origin.fields(source=source_of(actor)),
    }
    if archive is None:
        deploy = _present_code(deployment, file_name=image.name[:200], **kept)
        deploy.kind = Kind.IMAGE
    else:
        deploy = _of_archive(deployment, archive, file_name or image.name, **kept)
        deploy.kind = Kind.IMAGE_AND_DAGS
    operation = record_deploy(
        actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=origin.reason
    )
    notes = archive.notes + archive.warnings if archive else ()
    return Delivery(deploy=deploy, operation=operation, notes=notes)


def roll_back(
    *,
    actor: User,
    deployment: Deployment,
    deploy: Deploy,
    description: str = "",
    is_code_alone: bool = False,
) -> Delivery:
    """Deploy the code of an earlier deploy again, as a new deploy, with the packages and the image
    that it ran with; with `is_code_alone` those of now stay.

    Raises NothingChanged, CodeMissing, InvalidConfiguration where its image does not fit any more,
    and Conflict while being deleted, or for a deploy that never began.
    """
    if deploy.revision is None:
        raise Conflict(f"Deploy {deploy.number} never began, so there is nothing to go back to.")
    new = same_code(
        deploy,
        description=description or next_description(deploy),
        rollback_of=deploy,
        created_by=actor,
        image=_earlier_image(deployment, deploy.revision),
    )
    if is_code_alone:
        _keep_packages(new, deployment)
    operation = record_deploy(actor=actor, deploy=new, kind=Operation.Kind.ROLL_BACK)
    return Delivery(deploy=new, operation=operation)


def _earlier_image(deployment: Deployment, revision: Revision) -> dict[str, Any] | None:
    """Return which image to go back to, None where it is the present one."""
    wanted = deployment.wanted
    if wanted is None or image_digest_of(wanted) == image_digest_of(revision):
        return None
    return image_json(revision.configuration.image)


def _keep_packages(deploy: Deploy, deployment: Deployment) -> None:
    present = _present_code(deployment)
    deploy.packages_digest, deploy.packages = present.packages_digest, present.packages
    deploy.image = None
    if Kind(deploy.kind).has_image:
        deploy.kind = Kind.DAGS


def _present_code(deployment: Deployment, **fields: Any) -> Deploy:
    """Return an unsaved deploy with the code and packages that the Deployment has; without the
    commit, which says nothing of what is delivered now.
    """
    current = current_deploy(deployment, with_files=True)
    commit = dict.fromkeys((name for name in COPIED if name.startswith("git_")), "")
    if current is not None:
        return same_code(current, **{**commit, "warnings": current.warnings, **fields})
    wanted = deployment.wanted
    return Deploy(
        deployment=deployment,
        digest=wanted.code_digest if wanted else "",
        packages_digest=wanted.packages_digest if wanted else "",
        size_bytes=0,
        n_files=0,
        **fields,
    )


def _of_archive(
    deployment: Deployment, archive: CodeArchive, file_name: str, **fields: Any
) -> Deploy:
    return Deploy(
        deployment=deployment,
        digest=archive.digest,
        file_name=file_name[:200],
        size_bytes=archive.size_bytes,
        n_files=len(archive.files),
        files=archive.file_rows(),
        kind=Kind.PROJECT if archive.is_project else Kind.DAGS,
        warnings=list(archive.warnings),
        **fields,
    )


def _refuse_packages_on_clusters(deployment: Deployment, needs: Requirements) -> None:
    if needs and not takes_projects(deployment):
        raise ArchiveRefused(
            f"The project asks for packages, the first is {needs.lines[0][:80]}. This cluster has "
            "no registry, which an image with them would be stored in. Someone who manages "
            "clusters can name one in the settings of the cluster; without it, leave "
            "requirements.txt and the dependencies of pyproject.toml out of the upload."
        )


def _refuse_too_much(deployment: Deployment, archive: CodeArchive) -> None:
    """Refuse code that the cluster would refuse when it is applied."""
    most = most_code_bytes(deployment)
    if most is not None and archive.size_bytes > most:
        raise ArchiveRefused(
            f"Compressed, the code has {archive.size_bytes / 1e6:.1f} MB. A Deployment on "
            f"Kubernetes accepts {most // 1_000_000} MB; put packages and data into the image."
        )
    most = most_plugin_bytes(deployment)
    plugins = [one["size"] for one in archive.file_rows() if one["path"].startswith("plugins/")]
    if most is not None and archive.is_project and sum(plugins) > most:
        raise ArchiveRefused(
            f"The folder plugins has {sum(plugins) / 1e6:.1f} MB. A Deployment on Kubernetes "
            f"accepts {most / 1e6:.1f} MB; put what is large into a package or the image."
        )


def _keep(archive: CodeArchive) -> None:
    """Store the archive under its digest, once. A partial file is replaced."""
    name = code_name(archive.digest)
    if default_storage.exists(name):
        if default_storage.size(name) == archive.size_bytes:
            return
        default_storage.delete(name)
    try:
        with archive.path.open("rb") as stream:
            saved = default_storage.save(name, File(stream))
    except OSError:
        # On a full disk its piece would take the room that is needed.
        if default_storage.exists(name) and default_storage.size(name) != archive.size_bytes:
            default_storage.delete(name)
        raise
    if saved != name:
        # Another request stored the same code at the same time, so ours got another name.
        default_storage.delete(saved)
