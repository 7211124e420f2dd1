"""The common start of every write to a Deployment: lock, operation, audit event."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Max

from apps.accounts.models import User
from apps.audit.services import record
from apps.core.context import current_request
from apps.core.errors import Conflict
from apps.deployments.models import Deployment, Operation, Phase, Revision


def lock_deployment(deployment: Deployment, *, even_deleting: bool = False) -> Deployment:
    """Lock the row until the transaction ends. Raises Conflict for one in deletion, or gone."""
    # Lock first, join after: rows joined before waiting for the lock would be stale.
    Deployment.objects.select_for_update().get(pk=deployment.pk)
    related = ("wanted", "applied", "cluster", "workspace")
    locked = Deployment.objects.select_related(*related).get(pk=deployment.pk)
    if locked.phase == Phase.DELETED:
        raise Conflict(f"{locked.name} is deleted.")
    if locked.phase == Phase.DELETING and not even_deleting:
        raise Conflict(f"{locked.name} is being deleted, so it cannot be changed.")
    return locked


def begin_operation(
    actor: User | None,
    deployment: Deployment,
    kind: Operation.Kind,
    *,
    title: str,
    revision: Revision | None,
) -> Operation:
    """Begin the operation that people follow. The row must be locked: numbers have no gaps."""
    last: int | None = deployment.operations.aggregate(last=Max("number"))["last"]
    return Operation.objects.create(
        deployment=deployment,
        number=(last or 0) + 1,
        kind=kind,
        title=title[:200],
        revision=revision,
        actor=actor,
        request_id=current_request().request_id,
    )


def record_change(
    actor: User | None, deployment: Deployment, action: str, changed: Mapping[str, Any]
) -> None:
    """Write an audit event about a Deployment. `changed` maps a field to `[before, after]`."""
    record(
        action=action,
        actor=actor,
        organization_id=deployment.workspace.organization_id,
        target_kind="deployment",
        target_id=deployment.pk,
        target_label=deployment.name,
        changes=changed,
    )
