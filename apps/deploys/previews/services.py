"""From an upload to a preview, and from there to a deploy or to nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Max

from apps.accounts.models import User
from apps.core.errors import Conflict, Refused
from apps.deployments.models import Deployment, Operation
from apps.deployments.operations import lock_deployment
from apps.deploys import jobs
from apps.deploys.archives.building import CodeArchive
from apps.deploys.archives.requirements import Requirements
from apps.deploys.deliveries.enforcement import ensure_may_deliver
from apps.deploys.deliveries.origins import NOT_KNOWN, Origin, source_of
from apps.deploys.deliveries.queries import artifact_digests, takes_projects
from apps.deploys.deliveries.recording import record_deploy
from apps.deploys.deliveries.services import Delivery, accept_upload, deliver_archive
from apps.deploys.models import Deploy, Kind, Preview, PreviewState
from apps.deploys.previews.queries import OPEN, blocking_errors, vanishing_busy_dags

MOST_AGE = timedelta(days=7)


class PreviewClosed(Conflict):
    """The preview was deployed, discarded, or is not ready."""


class ImportErrorsUnconfirmed(Conflict):
    """Files cannot be imported, and the person has not accepted that."""


class PreviewOutdated(Conflict):
    """Something else was deployed since; the preview is made again."""


def submit(
    *,
    actor: User | None,
    deployment: Deployment,
    file_name: str,
    chunks: Iterable[bytes],
    description: str = "",
    is_previewed: bool = False,
    origin: Origin = NOT_KNOWN,
    vouched_by: User | None = None,
) -> Delivery | Preview:
    """Check an upload and store it. It is delivered at once, unless it brings packages or a preview
    is wanted; then it is checked by a job. One that is only checked for its packages is delivered
    as soon as it is ready and nothing is wrong with it. Without an actor it is a push, which takes
    the place of an earlier one that is still looked at; `vouched_by` connected it.

    Raises as `services.deliver`.
    """
    ensure_may_deliver(actor=actor, deployment=deployment)
    archive, needs = accept_upload(deployment=deployment, file_name=file_name, chunks=chunks)
    if not takes_projects(deployment) or not (needs or is_previewed):
        return deliver_archive(
            actor=actor,
            deployment=deployment,
            archive=archive,
            file_name=file_name,
            description=description,
            origin=origin,
        )
    preview = Preview(
        deployment=deployment,
        source=source_of(actor),
        origin=origin.as_json(),
        is_deployed_at_once=not is_previewed,
        file_name=file_name[:200],
        description=description,
        created_by=actor or vouched_by,
    )
    return _begin(preview, archive, needs)


@transaction.atomic
def confirm(
    *, actor: User | None, preview: Preview, accepts_errors: bool = False, description: str = ""
) -> Delivery:
    """Deploy what a preview shows. No actor means that it is a push.

    Raises PreviewClosed, ImportErrorsUnconfirmed, PreviewOutdated, NothingChanged, CodeMissing,
    DeployedByAutomation, and Conflict while the Deployment is being deleted.
    """
    if preview.source == Deploy.Source.HAND:
        ensure_may_deliver(actor=actor, deployment=preview.deployment)
    origin = Origin(**preview.origin)
    deployment = lock_deployment(preview.deployment)
    preview = Preview.objects.select_for_update(of=("self",)).get(pk=preview.pk)
    if preview.state != PreviewState.READY:
        raise PreviewClosed("This preview is not waiting to be deployed any more.")
    if blocking_errors(preview) and not accepts_errors:
        raise ImportErrorsUnconfirmed(
            "Some files cannot be imported. Tick that you want to deploy all the same, or discard "
            "the deploy and upload it again."
        )
    if is_outdated(preview, deployment):
        raise PreviewOutdated(
            f"{deployment.name} has changed since this preview was made, so it is made again."
        )
    deploy = Deploy(
        deployment=deployment,
        digest=preview.digest,
        file_name=preview.file_name,
        size_bytes=preview.size_bytes,
        n_files=len(preview.files),
        files=preview.files,
        warnings=preview.warnings,
        kind=preview.kind,
        packages_digest=preview.packages_digest,
        packages=preview.packages,
        dags=preview.dags,
        description=description or preview.description,
        created_by=actor,
        **origin.fields(source=Deploy.Source(preview.source)),
    )
    operation = record_deploy(
        actor=actor, deploy=deploy, kind=Operation.Kind.DEPLOY, reason=origin.reason
    )
    _close(preview, PreviewState.DEPLOYED, deploy)
    return Delivery(deploy=deploy, operation=operation)


@transaction.atomic
def discard(*, preview: Preview) -> None:
    """Forget an upload. Nothing happens to one that was deployed or discarded already."""
    preview = Preview.objects.select_for_update(of=("self",)).get(pk=preview.pk)
    if preview.state not in (PreviewState.DEPLOYED, PreviewState.DISCARDED):
        _close(preview, PreviewState.DISCARDED)


@transaction.atomic
def check_again(*, preview: Preview) -> None:
    """Make a preview again, against what runs now. Raises PreviewClosed."""
    preview = Preview.objects.select_for_update(of=("self",)).get(pk=preview.pk)
    if preview.state in (PreviewState.DEPLOYED, PreviewState.DISCARDED):
        raise PreviewClosed("This preview is closed. Upload the code again.")
    preview.state = PreviewState.CHECKING
    preview.step, preview.problem, preview.attempts, preview.lease_until = "", "", 0, None
    preview.step_times = {}
    changed = ["state", "step", "step_times", "problem", "attempts", "lease_until"]
    preview.save(update_fields=changed)
    transaction.on_commit(partial(jobs.request_check, preview.pk), robust=True)


def deploy_if_nothing_is_wrong(preview: Preview) -> Delivery | None:
    """Deploy a preview that its author did not ask to see, if its author still may and nothing is
    wrong with it.
    """
    author = preview.created_by
    if not preview.is_deployed_at_once or author is None or not author.is_active:
        return None
    if blocking_errors(preview) or vanishing_busy_dags(preview):
        return None
    if not author.has_perm("deployment.deploys.create", preview.deployment):
        return None
    is_push = preview.source == Deploy.Source.GIT
    try:
        return confirm(actor=None if is_push else author, preview=preview)
    except PreviewOutdated:
        # Another deploy began meanwhile. Whoever sent this one does not look at it.
        check_again(preview=preview)
    except (Conflict, Refused):
        pass
    return None


def remove_old(*, now: datetime) -> int:
    """Discard previews that were not decided on for a week. Returns how many."""
    old = Preview.objects.filter(created_at__lt=now - MOST_AGE, state__in=OPEN)
    return old.update(state=PreviewState.DISCARDED)


def is_outdated(preview: Preview, deployment: Deployment) -> bool:
    """Return whether other code, packages, another image or runtime came since the preview was
    made.
    """
    wanted = deployment.wanted
    if wanted is None or preview.base is None:
        return wanted is not None
    if wanted.configuration.runtime != preview.runtime:
        return True
    return artifact_digests(wanted) != artifact_digests(preview.base)


@transaction.atomic
def _begin(preview: Preview, archive: CodeArchive, needs: Requirements) -> Preview:
    deployment = lock_deployment(preview.deployment)
    if preview.source == Deploy.Source.GIT:
        _discard_earlier_pushes(deployment)
    last = Preview.objects.filter(deployment=deployment).aggregate(last=Max("number"))["last"]
    preview.number = (last or 0) + 1
    for name, value in _facts_of(archive, needs).items():
        setattr(preview, name, value)
    preview.save(force_insert=True)
    transaction.on_commit(partial(jobs.request_check, preview.pk), robust=True)
    return preview


def _discard_earlier_pushes(deployment: Deployment) -> None:
    pushes = Preview.objects.filter(deployment=deployment, source=Deploy.Source.GIT)
    waiting = pushes.filter(state__in=OPEN)
    waiting.update(state=PreviewState.DISCARDED, lease_until=None)


def _facts_of(archive: CodeArchive, needs: Requirements) -> dict[str, Any]:
    return {
        "digest": archive.digest,
        "size_bytes": archive.size_bytes,
        "files": archive.file_rows(),
        "kind": Kind.PROJECT if archive.is_project or needs else Kind.DAGS,
        "notes": list(archive.notes),
        "warnings": list(archive.warnings),
        "needs": {"lines": list(needs.lines), "preferred": needs.preferred},
    }


def _close(preview: Preview, state: PreviewState, deploy: Deploy | None = None) -> None:
    Preview.objects.filter(pk=preview.pk).update(state=state, deploy=deploy, lease_until=None)
