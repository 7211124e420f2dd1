"""Upgrades of a Deployment: check what would change, confirm, cancel."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from ninja import Path, Query, Router
from pydantic import AwareDatetime, Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.core.public_ids import public_id
from apps.upgrades import services
from apps.upgrades.models import Upgrade

SEE, EDIT = "deployment.view", "deployment.update"
router = Router(by_alias=True, exclude_none=True, tags=["Upgrade"])


class AtUpgrade(AtDeployment):
    upgrade_number: int


class FindingShape(Shape):
    """`tone` is good, move, warn or bad; `lines` are the files, packages or options at fault."""

    tone: str
    title: str
    detail: str
    lines: list[str]


class UpgradeShape(Shape):
    """`status` is CHECKING, READY, WAITING, BACKING_UP, APPLYING, DONE, FAILED or CANCELLED; a
    failed one has the reason in `error`.
    """

    number: int
    deployment_id: str
    status: str
    source_runtime_version: str
    target_runtime_version: str
    revision_number: int
    findings: list[FindingShape]
    starts_at: datetime | None = None
    backup_id: str | None = None
    operation_number: int | None = None
    error: str | None = None
    created_at: datetime
    ended_at: datetime | None = None
    created_by_subject: Profile


class UpgradeList(Listing):
    upgrades: list[UpgradeShape]


class NewUpgrade(Shape):
    target_runtime_version: str = Field(max_length=30)


class Confirmation(Shape):
    """Without `startsAt` it begins now."""

    starts_at: AwareDatetime | None = None


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/upgrades",
    auth=on_deployment(SEE),
    response=UpgradeList,
    operation_id="ListUpgrades",
    summary="List upgrades of a Deployment, the newest first",
)
def list_upgrades(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    page = page_of(_rows(request), asked, sorts={"number": "-number"})
    return UpgradeList(upgrades=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/upgrades",
    auth=on_deployment(EDIT),
    response=UpgradeShape,
    operation_id="CheckUpgrade",
    summary="Check what an upgrade would change",
)
@once
def check_upgrade(request: Call, at: Path[AtDeployment], body: NewUpgrade) -> Any:
    """Returns at once; a job reads the DAGs in the new runtime. Nothing changes until the upgrade
    is confirmed.
    """
    made = services.begin_check(
        actor=request.caller.user, deployment=request.found, target=body.target_runtime_version
    )
    return _shape(made)


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/upgrades/{upgradeNumber}",
    auth=on_deployment(SEE),
    response=UpgradeShape,
    operation_id="GetUpgrade",
    summary="Get an upgrade with what its check found",
)
def get_upgrade(request: Call, at: Path[AtUpgrade]) -> Any:
    return _shape(_found(request, at))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/upgrades/{upgradeNumber}/confirm",
    auth=on_deployment(EDIT),
    response=UpgradeShape,
    operation_id="ConfirmUpgrade",
    summary="Upgrade now or at a time, with a backup first",
)
def confirm_upgrade(request: Call, at: Path[AtUpgrade], body: Confirmation) -> Any:
    services.confirm(
        actor=request.caller.user, upgrade=_found(request, at), starts_at=body.starts_at
    )
    return _shape(_found(request, at))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/upgrades/{upgradeNumber}/cancel",
    auth=on_deployment(EDIT),
    response=UpgradeShape,
    operation_id="CancelUpgrade",
    summary="Cancel an upgrade that did not begin",
)
def cancel_upgrade(request: Call, at: Path[AtUpgrade]) -> Any:
    services.cancel(actor=request.caller.user, upgrade=_found(request, at))
    return _shape(_found(request, at))


def _rows(request: Call) -> QuerySet[Upgrade]:
    rows = Upgrade.objects.filter(deployment=request.found)
    return rows.select_related("created_by", "operation")


def _found(request: Call, at: AtUpgrade) -> Upgrade:
    return or_404(_rows(request).filter(number=at.upgrade_number).first())


def _shape(upgrade: Upgrade) -> UpgradeShape:
    return UpgradeShape(
        number=upgrade.number,
        deployment_id=public_id("deployment", upgrade.deployment_id),
        status=upgrade.state.upper().replace("-", "_"),
        source_runtime_version=upgrade.source,
        target_runtime_version=upgrade.target,
        revision_number=upgrade.base,
        findings=[FindingShape(**one) for one in upgrade.findings],
        starts_at=upgrade.starts_at,
        backup_id=str(upgrade.backup_id) if upgrade.backup_id else None,
        operation_number=upgrade.operation.number if upgrade.operation else None,
        error=upgrade.failure or None,
        created_at=upgrade.created_at,
        ended_at=upgrade.ended_at,
        created_by_subject=profile_of(upgrade.created_by),
    )
