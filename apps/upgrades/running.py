"""The loop of confirmed upgrades: begin at the time, back up, make the revision, follow it. Each
turn does what can be done now; all state is on rows, so any worker continues.
"""

import logging
from dataclasses import replace
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.backups.models import Backup, BackupState
from apps.backups.queries import has_place
from apps.backups.services import request_backup
from apps.core.errors import PortalError
from apps.deployments.editing.services import update_config
from apps.deployments.models import OperationState, Phase
from apps.upgrades.findings import BACKED_UP
from apps.upgrades.models import UNDER_WAY, Upgrade, UpgradeState
from apps.upgrades.services import refusals_of

logger = logging.getLogger(__name__)

AT_ONCE = 50
KEEP_DAYS = 90
CHANGED = "The Deployment was changed since the check, so it was not upgraded. Check again."
NOT_ALLOWED = "Whoever confirmed the upgrade may not edit the Deployment any more."
NO_BACKUP = "The backup failed, so nothing was changed."
RESTORE = "Restore the backup to go back to {source}."


def turn(*, now: datetime) -> int:
    """Work on all upgrades that are due; return how many moved. Workers share the rows."""
    due = Q(starts_at=None) | Q(starts_at__lte=now) | ~Q(state=UpgradeState.WAITING)
    ids = Upgrade.objects.filter(due, state__in=UNDER_WAY).order_by(F("starts_at").asc())
    return sum(_advance(pk) for pk in ids.values_list("pk", flat=True)[:AT_ONCE])


@transaction.atomic
def _advance(upgrade_id: int) -> bool:
    rows = Upgrade.objects.select_for_update(of=("self",), skip_locked=True)
    above = ("deployment__cluster", "deployment__workspace__organization", "deployment__wanted")
    upgrade = (
        rows.filter(pk=upgrade_id, state__in=UNDER_WAY)
        .select_related(*above, "confirmed_by", "backup", "operation")
        .first()
    )
    if upgrade is None:
        return False
    before = upgrade.state
    try:
        with transaction.atomic():
            _WORK[UpgradeState(upgrade.state)](upgrade)
    except PortalError as error:
        _fail(upgrade, error.message)
    upgrade.save(update_fields=["state", "backup", "operation", "failure", "ended_at"])
    return upgrade.state != before


def _begin(upgrade: Upgrade) -> None:
    deployment = upgrade.deployment
    _check(upgrade)
    if not _is_backed_up(upgrade):
        _apply(upgrade)
        return
    upgrade.backup = request_backup(
        actor=upgrade.confirmed_by,
        deployment=deployment,
        reason=Backup.Reason.UPGRADE,
        keep_days=KEEP_DAYS,
    )
    upgrade.state = UpgradeState.BACKING_UP


def _is_backed_up(upgrade: Upgrade) -> bool:
    """Return whether a backup was announced, or can be made by now."""
    announced = any(one.get("title") == BACKED_UP for one in upgrade.findings)
    return announced or has_place(upgrade.deployment)


def _await_backup(upgrade: Upgrade) -> None:
    backup = upgrade.backup
    if backup is None or backup.state == BackupState.FAILED:
        _fail(upgrade, f"{NO_BACKUP} {backup.failure if backup else ''}".strip())
    elif backup.state == BackupState.DONE:
        _check(upgrade)
        _apply(upgrade)


def _apply(upgrade: Upgrade) -> None:
    deployment, actor = upgrade.deployment, upgrade.confirmed_by
    assert deployment.wanted is not None  # noqa: S101 - _check saw it
    assert actor is not None  # noqa: S101 - _check saw it
    upgrade.operation = update_config(
        actor=actor,
        deployment=deployment,
        configuration=replace(deployment.wanted.configuration, runtime=upgrade.target),
        base_revision_number=upgrade.base,
        reason=f"Upgrade to {upgrade.target}",
    )
    upgrade.state = UpgradeState.APPLYING


def _follow(upgrade: Upgrade) -> None:
    operation = upgrade.operation
    if operation is None or operation.state == OperationState.SUPERSEDED:
        _fail(upgrade, "Another change came before the upgrade was done.")
    elif operation.state == OperationState.FAILED:
        _fail(upgrade, f"{operation.failure} {RESTORE.format(source=upgrade.source)}")
    elif operation.state == OperationState.SUCCEEDED:
        upgrade.state, upgrade.ended_at = UpgradeState.DONE, timezone.now()


def _check(upgrade: Upgrade) -> None:
    """Raise PortalError where the upgrade is not what was confirmed any more."""
    deployment, actor = upgrade.deployment, upgrade.confirmed_by
    if deployment.phase != Phase.ACTIVE or deployment.wanted is None:
        raise PortalError("The Deployment was deleted.")
    if deployment.wanted.number != upgrade.base:
        raise PortalError(CHANGED)
    if actor is None or not actor.has_perm("deployment.update", deployment):
        raise PortalError(NOT_ALLOWED)
    if refusals := refusals_of(deployment, upgrade.target):
        raise PortalError(f"The upgrade would be refused, so nothing was changed. {refusals[0]}")


def _fail(upgrade: Upgrade, message: str) -> None:
    logger.warning("upgrade failed", extra={"deployment": upgrade.deployment.ref})
    upgrade.state, upgrade.failure = UpgradeState.FAILED, message[:1000]
    upgrade.ended_at = timezone.now()


_WORK = {
    UpgradeState.WAITING: _begin,
    UpgradeState.BACKING_UP: _await_backup,
    UpgradeState.APPLYING: _follow,
}
