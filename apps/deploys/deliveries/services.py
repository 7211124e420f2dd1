"""Every delivery of code: checked first, stored once under its digest, then a new revision."""

import errno
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Max

from apps.accounts.models import User
from apps.core.errors import Conflict, PortalError
from apps.deployments.editing.services import deploy_code
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.operations import lock_deployment
from apps.deployments.reconciling.compiler import code_name, lock_name
from apps.deploys.archives.building import ArchiveRefused, CodeArchive, Limits, build_archive
from apps.deploys.archives.requirements import Requirements, requirements_of
from apps.deploys.deliveries.cleanup import hold_archives
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.deliveries.origins import NOT_KNOWN, Origin, source_of
from apps.deploys.deliveries.queries import (
    most_code_bytes,
    next_description,
    reader_of,
    takes_projects,
)
from apps.deploys.models import Deploy, Kind

COPIED = (
    "deployment",
    "digest",
    "file_name",
    "size_bytes",
    "n_files",
    "files",
    "warnings",
    "kind",
    "packages_digest",
    "packages",
    "dags",
    "git_repository",
    "git_branch",
    "git_path",
    "git_commit",
    "git_author",
    "git_message",
    "git_url",
)


class NothingChanged(Conflict):
    """The Deployment has exactly this code already."""


class StorageFull(PortalError):
    """The code cannot be kept; nothing has changed."""

    def __init__(self) -> None:
        super().__init__(
            "The portal's disk is full, so the code was not stored and nothing has changed. "
            "Free some space on the machine, then upload it again."
        )


class CodeMissing(PortalError):
    """The archive of an earlier version is gone from the portal's storage."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The result of a delivery. `notes` are messages about what was left out of the upload, and
    what is wrong with it.
    """

    deploy: Deploy
    operation: Operation
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
    _refuse_same_code(deployment, archive.digest, "")
    deploy = Deploy(
        deployment=deployment,
        digest=archive.digest,
        file_name=file_name[:200],
        size_bytes=archive.size_bytes,
        n_files=len(archive.files),
        files=archive.file_rows(),
        kind=Kind.PROJECT if archive.is_project else Kind.DAGS,
        warnings=list(archive.warnings),
        description=description,
        created_by=actor,
        **origin.fields(source=source_of(actor)),
    )
    operation = record_deploy(
        actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=origin.reason
    )
    return Delivery(deploy=deploy, operation=operation, notes=archive.notes + archive.warnings)


def roll_back(
    *, actor: User, deployment: Deployment, deploy: Deploy, description: str = ""
) -> Delivery:
    """Deploy the code of an earlier deploy again, as a new deploy.

    Raises NothingChanged, CodeMissing, and Conflict while being deleted.
    """
    _refuse_same_code(deployment, deploy.digest, deploy.packages_digest)
    new = same_code(
        deploy,
        description=description or next_description(deploy),
        rollback_of=deploy,
        created_by=actor,
    )
    operation = record_deploy(actor=actor, deploy=new, kind=Operation.Kind.ROLL_BACK)
    return Delivery(deploy=new, operation=operation)


def same_code(deploy: Deploy, **fields: Any) -> Deploy:
    """Return an unsaved deploy with the code, the packages and the commit of another one, of the
    same Deployment unless `fields` says otherwise.
    """
    return Deploy(**{name: getattr(deploy, name) for name in COPIED} | fields)


@transaction.atomic
def record_deploy(
    *, actor: User | None, deploy: Deploy, kind: Operation.Kind, reason: str = ""
) -> Operation:
    """Number a deploy, save it, and make the revision that uses it.

    Raises NothingChanged, CodeMissing, and Conflict while being deleted.
    """
    # Concurrent deliveries of the same code make one deploy, and numbers have no gaps.
    deployment = lock_deployment(deploy.deployment)
    _refuse_same_code(deployment, deploy.digest, deploy.packages_digest)
    require_stored(deploy)
    last = Deploy.objects.filter(deployment=deployment).aggregate(last=Max("number"))["last"]
    deploy.number = (last or 0) + 1
    operation = deploy_code(
        actor=actor,
        deployment=deployment,
        digest=deploy.digest,
        packages_digest=deploy.packages_digest,
        summary=f"Deploy {deploy.number}: {deploy.description or deploy.file_name}",
        kind=kind,
        reason=reason,
    )
    deploy.revision = cast(Revision, operation.revision)
    deploy.save(force_insert=True)
    return operation


def _refuse_same_code(deployment: Deployment, digest: str, packages_digest: str) -> None:
    wanted = deployment.wanted
    if wanted is None or wanted.state == RevisionState.FAILED:
        return
    if (wanted.code_digest, wanted.packages_digest) == (digest, packages_digest):
        raise NothingChanged(
            f"{deployment.name} already runs exactly this code, so nothing has changed."
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


def require_stored(deploy: Deploy) -> None:
    """Raise CodeMissing for an archive that was cleaned up or lost in the meantime."""
    hold_archives()
    if not default_storage.exists(code_name(deploy.digest)):
        before = deploy.rollback_of or deploy.promoted_from
        of = f" of deploy {before.number}" if before else ""
        raise CodeMissing(f"The code{of} is no longer in the portal's storage. Upload it again.")
    if deploy.packages_digest and not default_storage.exists(lock_name(deploy.packages_digest)):
        raise CodeMissing("The lock of the packages is no longer in the portal's storage.")


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
