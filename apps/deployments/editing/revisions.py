"""The parts of a write that changes a Deployment's configuration or code."""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid
from apps.deployments import tasks
from apps.deployments.configuration.changes import changes
from apps.deployments.configuration.schema import Configuration
from apps.deployments.configuration.validation import Problem
from apps.deployments.editing.plans import wake_for_change
from apps.deployments.models import (
    Deployment,
    Operation,
    OperationState,
    Revision,
    RevisionState,
    SecretValue,
)
from apps.deployments.operations import begin_operation, record_change
from apps.deployments.reconciling import lifecycle

AUDITED_LENGTH = 200
# These must be seen running, and so does another runtime. Other edits are applied asleep.
WAKING = (Operation.Kind.DEPLOY, Operation.Kind.ROLL_BACK, Operation.Kind.RESTORE)
UNSETTLED = (RevisionState.PENDING, RevisionState.APPLYING)
_ACTIONS = {
    Operation.Kind.CREATE: "deployment.created",
    Operation.Kind.UPDATE: "deployment.updated",
    Operation.Kind.DEPLOY: "deployment.deployed",
    Operation.Kind.ROLL_BACK: "deployment.rolled_back",
    Operation.Kind.RESTORE: "deployment.restored",
}


class InvalidConfiguration(Invalid):
    """Carries every broken rule; `field` and the message are those of the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].message, field=problems[0].field)
        self.problems = tuple(problems)


def add_revision(
    actor: User | None,
    deployment: Deployment,
    kind: Operation.Kind,
    *,
    summary: str,
    configuration: Configuration,
    code_digest: str,
    packages_digest: str = "",
    restore: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Operation:
    """Add a revision and make it the wanted one, in place of one that is still being applied. A
    backup that the other one was about to restore is restored by this one, unless it rolls back.
    """
    before = deployment.wanted
    is_unsettled = before is not None and before.state in UNSETTLED
    if restore is None and before and is_unsettled and kind != Operation.Kind.ROLL_BACK:
        restore = before.restore
    _take_secrets(actor, deployment, configuration)
    earlier = before.configuration if before else None
    configuration = configuration.dated(earlier, at=timezone.now().isoformat(timespec="seconds"))
    supersede(deployment)
    if kind in WAKING or (before and before.configuration.runtime != configuration.runtime):
        wake_for_change(actor, deployment, now=timezone.now())
    revision = Revision.objects.create(
        deployment=deployment,
        number=(before.number if before else 0) + 1,
        config=configuration.to_json(),
        code_digest=code_digest,
        packages_digest=packages_digest,
        restore=restore,
        reason=reason.strip()[:500],
        summary=summary[:200],
        created_by=actor,
    )
    deployment.wanted = revision
    deployment.description = configuration.description
    deployment.save(update_fields=["wanted", "description"])
    title = {
        Operation.Kind.CREATE: f"Create {deployment.name}",
        Operation.Kind.UPDATE: f"Apply revision {revision.number}",
    }.get(kind, summary)
    operation = begin_operation(actor, deployment, kind, title=title, revision=revision)
    record_change(actor, deployment, _ACTIONS[kind], _audited(before, revision))
    make_due(deployment)
    return operation


def supersede(deployment: Deployment) -> None:
    """Mark the revision and operation in progress as superseded by a newer one."""
    if deployment.wanted is not None:
        rows = Revision.objects.filter(pk=deployment.wanted.pk)
        lifecycle.move(rows, "revision", RevisionState.SUPERSEDED)
    supersede_operation(deployment)


def supersede_operation(deployment: Deployment) -> None:
    """Mark the operation in progress as superseded, and leave its revision to the next one."""
    lifecycle.move(
        Operation.objects.filter(deployment=deployment),
        "operation",
        OperationState.SUPERSEDED,
        ended_at=timezone.now(),
    )


def apply_again(
    actor: User | None, deployment: Deployment, kind: Operation.Kind, *, title: str
) -> Operation:
    """Apply the current revision, which was applied, once more. Raises Conflict when it was not."""
    revision = deployment.wanted
    if revision is None or revision.state != RevisionState.APPLIED:
        raise Conflict(f"{deployment.name} was not applied completely. Retry that first.")
    lifecycle.move(Revision.objects.filter(pk=revision.pk), "revision", RevisionState.PENDING)
    operation = begin_operation(actor, deployment, kind, title=title, revision=revision)
    make_due(deployment)
    return operation


def make_due(deployment: Deployment) -> None:
    """Make the Deployment due at once, and reset its failures."""
    Deployment.objects.filter(pk=deployment.pk).update(
        next_reconcile_at=Now(),
        is_urgent=True,
        failures=0,
        unfinished_passes=0,
        quarantined_at=None,
        last_error="",
    )
    transaction.on_commit(partial(tasks.hint, deployment.pk), robust=True)


def _audited(before: Revision | None, after: Revision) -> dict[str, list[Any]]:
    """Return the differences of a revision for its audit event, without secrets and long values."""
    old = before.configuration if before else None
    audited: dict[str, list[Any]] = {"revision": [before.number if before else None, after.number]}
    for change in changes(old, after.configuration):
        audited[change.label] = [change.before[:AUDITED_LENGTH], change.after[:AUDITED_LENGTH]]
    digest = before.code_digest if before else ""
    if digest != after.code_digest:
        audited["code"] = [digest, after.code_digest]
    packages = before.packages_digest if before else ""
    if packages != after.packages_digest:
        audited["packages"] = [packages, after.packages_digest]
    if after.restore:
        audited["backup"] = [None, after.restore["made_at"]]
    if after.reason:
        audited["reason"] = [None, after.reason]
    return audited


def _take_secrets(actor: User | None, deployment: Deployment, configuration: Configuration) -> None:
    """Bind secrets that were typed for this revision to the Deployment.

    Only the author of a secret can bind it, and only once: an id that was seen elsewhere must not
    give access to it here.
    """
    rows = _usable_secrets(actor, deployment, configuration)
    problems = [
        Problem(
            f"variables.{index}.value", f"The value of {variable.key} is missing. Enter it again."
        )
        for index, variable in enumerate(configuration.variables)
        if variable.is_secret and variable.secret_id not in rows
    ]
    image = configuration.image
    if image and image.secret_id and image.secret_id not in rows:
        problems.append(
            Problem("image", "The pull secret of the image is missing. Enter it again.")
        )
    if problems:
        raise InvalidConfiguration(problems)
    new = [row.pk for row in rows.values() if row.deployment_id is None]
    if new:
        SecretValue.objects.filter(pk__in=new).update(deployment=deployment)


def _usable_secrets(
    actor: User | None, deployment: Deployment, configuration: Configuration
) -> dict[str, SecretValue]:
    ids = [text for text in configuration.secret_ids if _is_uuid(text)]
    if not ids:
        return {}
    rows = SecretValue.objects.select_for_update().filter(
        pk__in=ids, workspace_id=deployment.workspace_id
    )
    return {
        str(row.pk): row
        for row in rows.defer("sealed")
        if row.deployment_id == deployment.pk
        or (row.deployment_id is None and actor is not None and row.created_by_id == actor.pk)
    }


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
