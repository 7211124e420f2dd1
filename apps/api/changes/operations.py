"""Operations on a Deployment: list, read with steps, and retry what failed."""

from datetime import datetime
from typing import Any

from ninja import Path, Query, Router

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import Listing, Profile, Shape, profile_of
from apps.deployments.editing.restarting import restart
from apps.deployments.editing.services import retry
from apps.deployments.models import Operation
from apps.deployments.pages.queries import operations_of

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
SEE = "deployment.view"


class AtOperation(AtDeployment):
    operation_number: int


class OperationShape(Shape):
    """`status` is RUNNING, SUCCEEDED, FAILED or SUPERSEDED; `failure` says what went wrong."""

    number: int
    kind: str
    title: str
    status: str
    failure: str | None = None
    failed_component: str | None = None
    revision_number: int | None = None
    started_at: datetime
    ended_at: datetime | None = None
    started_by: Profile


class StepShape(Shape):
    """`log` has the last lines where it failed."""

    title: str
    state: str
    detail: str
    log: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class OperationWithSteps(OperationShape):
    steps: list[StepShape]


class OperationList(Listing):
    operations: list[OperationShape]


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/operations",
    auth=on_deployment(SEE),
    response=OperationList,
    operation_id="ListOperations",
    summary="List operations on a Deployment, the newest first",
)
def list_operations(request: Call, at: Path[AtDeployment], asked: Query[Paging]) -> Any:
    page = page_of(operations_of(request.found), asked, sorts={"number": "-number"})
    rows = [OperationShape(**operation_fields(one)) for one in page.rows]
    return OperationList(operations=rows, **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/operations/{operationNumber}",
    auth=on_deployment(SEE),
    response=OperationWithSteps,
    operation_id="GetOperation",
    summary="Get an operation with its steps",
)
def get_operation(request: Call, at: Path[AtOperation]) -> Any:
    number = min(at.operation_number, 2**31 - 1)
    found = or_404(operations_of(request.found).filter(number=number).first())
    steps = [
        StepShape(
            title=one.title,
            state=one.state,
            detail=one.detail,
            log=one.log or None,
            started_at=one.started_at,
            ended_at=one.ended_at,
        )
        for one in found.steps.order_by("position")
    ]
    return OperationWithSteps(**operation_fields(found), steps=steps)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/retry",
    auth=on_deployment("deployment.update"),
    response=OperationShape,
    operation_id="RetryDeployment",
    summary="Retry what failed",
)
def retry_deployment(request: Call, at: Path[AtDeployment]) -> Any:
    """409 where nothing has failed."""
    started = retry(actor=request.caller.user, deployment=request.found)
    return OperationShape(**operation_fields(started))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/restart",
    auth=on_deployment("deployment.update"),
    response=OperationShape,
    operation_id="RestartDeployment",
    summary="Restart all components",
)
def restart_deployment(request: Call, at: Path[AtDeployment]) -> Any:
    """409 while another operation runs, or when the last change was not applied."""
    started = restart(actor=request.caller.user, deployment=request.found)
    return OperationShape(**operation_fields(started))


def operation_fields(one: Operation) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": one.kind,
        "title": one.title,
        "status": one.state.upper(),
        "failure": one.failure or None,
        "failed_component": one.failed_component or None,
        "revision_number": one.revision.number if one.revision else None,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "started_by": profile_of(one.actor),
    }
