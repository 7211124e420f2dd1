"""A deploy from its row to the revision that uses it: at once, or when those before it have ended.

record_deploy ─┬─► begun, with a revision
               └─► waiting ─► begun, replaced, cancelled or refused: `queue` moves those
"""

from datetime import datetime, timedelta
from typing import Any, cast

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Conflict, PortalError
from apps.deployments.editing.services import deploy_code
from apps.deployments.models import Deployment, Operation, Revision, RevisionState
from apps.deployments.operations import lock_deployment, record_change
from apps.deployments.reconciling.compiler import code_name, lock_name
from apps.deploys.deliveries.cleanup import hold_archives
from apps.deploys.deliveries.images import image_digest_of, with_image
from apps.deploys.deliveries.queries import artifact_digests
from apps.deploys.models import Deploy, DeployState

# A deploy that does not end by then is not waited for any more: the next may be what mends it.
LONGEST_WAIT = timedelta(minutes=15)
UNDER_WAY = (RevisionState.PENDING, RevisionState.APPLYING)
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
    "image_digest",
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


class CodeMissing(PortalError):
    """The archive of an earlier version is gone from the portal's storage."""


def same_code(deploy: Deploy, **fields: Any) -> Deploy:
    """Return an unsaved deploy with the code, the packages and the commit of another one, of the
    same Deployment unless `fields` says otherwise.
    """
    return Deploy(**{name: getattr(deploy, name) for name in COPIED} | fields)


@transaction.atomic
def record_deploy(
    *, actor: User | None, deploy: Deploy, kind: Operation.Kind, reason: str = ""
) -> Operation | None:
    """Number a deploy, save it, and make the revision that uses it; or let it wait until the one in
    progress has ended, and return None. A rollback never waits, and takes the place of those that
    do; a push takes the place of pushes that have not begun.

    Raises NothingChanged, CodeMissing, InvalidConfiguration for an image that does not fit, and
    Conflict while being deleted.
    """
    # Concurrent deliveries of the same code make one deploy, and numbers have no gaps.
    deployment = lock_deployment(deploy.deployment)
    goes_back = kind == Operation.Kind.ROLL_BACK
    refuse_same(deployment, deploy, is_next=goes_back)
    require_stored(deploy)
    last = Deploy.objects.filter(deployment=deployment).aggregate(last=Max("number"))["last"]
    deploy.number, deploy.reason = (last or 0) + 1, reason[:500]
    is_push = deploy.source == Deploy.Source.GIT
    if goes_back or is_push:
        _replace_waiting(deployment, by=deploy, only_pushes=not goes_back)
    if goes_back or not must_wait(deployment, is_push=is_push, now=timezone.now()):
        operation = begin(actor=actor, deployment=deployment, deploy=deploy, kind=kind)
        deploy.save(force_insert=True)
        return operation
    deploy.state = DeployState.WAITING
    deploy.save(force_insert=True)
    record_change(actor, deployment, "deployment.deploy_queued", {"deploy": [None, deploy.number]})
    return None


def begin(
    *, actor: User | None, deployment: Deployment, deploy: Deploy, kind: Operation.Kind
) -> Operation:
    """Make the revision that a deploy runs as; the row is not saved. The Deployment is locked."""
    configuration = with_image(deployment, deploy.image)
    operation = deploy_code(
        actor=actor,
        deployment=deployment,
        digest=deploy.digest,
        packages_digest=deploy.packages_digest,
        configuration=configuration,
        summary=f"Deploy {deploy.number}: {deploy.description or deploy.file_name}",
        kind=kind,
        reason=deploy.reason,
    )
    revision = cast(Revision, operation.revision)
    deploy.state, deploy.revision = DeployState.BEGUN, revision
    deploy.image_digest = image_digest_of(revision)
    return operation


def waiting_in(deployment: Deployment) -> QuerySet[Deploy]:
    """List the deploys that wait for their turn, the next one first."""
    rows = Deploy.objects.filter(deployment=deployment, state=DeployState.WAITING)
    return rows.order_by("number")


def must_wait(deployment: Deployment, *, is_push: bool, now: datetime) -> bool:
    """Return whether a new deploy has to wait for others. A push that has not begun is replaced by
    the next one instead.
    """
    if waiting_in(deployment).exists():
        return True
    if not is_deploying(deployment, now=now):
        return False
    wanted = cast(Revision, deployment.wanted)
    if not is_push or wanted.state != RevisionState.PENDING:
        return True
    return not Deploy.objects.filter(revision=wanted, source=Deploy.Source.GIT).exists()


def is_deploying(deployment: Deployment, *, now: datetime) -> bool:
    """Return whether other code, packages or another image than what runs are being applied."""
    wanted, applied = deployment.wanted, deployment.applied
    if wanted is None or applied is None or wanted.state not in UNDER_WAY:
        return False
    if deployment.quarantined_at is not None or now - wanted.created_at > LONGEST_WAIT:
        return False
    return artifact_digests(wanted) != artifact_digests(applied)


def refuse_same(deployment: Deployment, deploy: Deploy, *, is_next: bool = False) -> None:
    """Raise NothingChanged for what is the last in the queue, or runs already. `is_next` is for
    what does not queue.
    """
    last = None if is_next else waiting_in(deployment).last()
    if last is not None:
        image = last.image if deploy.image is None else deploy.image
        same = (last.digest, last.packages_digest, last.image)
        if same == (deploy.digest, deploy.packages_digest, image):
            raise NothingChanged(f"Deploy {last.number} has exactly this code, and waits already.")
        return
    wanted = deployment.wanted
    if wanted is None or wanted.state == RevisionState.FAILED:
        return
    image_digest = image_digest_of(wanted)
    if deploy.image is not None:
        image_digest = deploy.image.get("digest", "")
    if artifact_digests(wanted) == (deploy.digest, deploy.packages_digest, image_digest):
        what = "image" if deploy.kind == "image" else "code"
        raise NothingChanged(
            f"{deployment.name} already runs exactly this {what}, so nothing has changed."
        )


def require_stored(deploy: Deploy) -> None:
    """Raise CodeMissing for an archive that was cleaned up or lost in the meantime."""
    hold_archives()
    if deploy.digest and not default_storage.exists(code_name(deploy.digest)):
        before = deploy.rollback_of or deploy.promoted_from
        of = f" of deploy {before.number}" if before else ""
        raise CodeMissing(f"The code{of} is no longer in the portal's storage. Upload it again.")
    if deploy.packages_digest and not default_storage.exists(lock_name(deploy.packages_digest)):
        raise CodeMissing("The lock of the packages is no longer in the portal's storage.")


def _replace_waiting(deployment: Deployment, *, by: Deploy, only_pushes: bool) -> None:
    waiting = waiting_in(deployment)
    if only_pushes:
        waiting = waiting.filter(source=Deploy.Source.GIT)
    waiting.update(
        state=DeployState.REPLACED, problem=f"Deploy {by.number} took its place before it began."
    )
