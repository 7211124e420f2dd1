"""What others changed in the objects of a Deployment, and reverting it."""

from datetime import datetime
from typing import Any

from ninja import Path, Router

from apps.api.changes.operations import OperationShape, operation_fields
from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.dataplane.status import Drift
from apps.deployments.editing.drift import put_back
from apps.deployments.models import Deployment
from apps.deployments.pages.queries import observation_of

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])


class DriftedField(Shape):
    """`wanted` and `actual` are left out where they may not be shown."""

    path: str
    wanted: str | None = None
    actual: str | None = None
    changed_by: str | None = None


class DriftedObject(Shape):
    object: str
    is_gone: bool
    fields: list[DriftedField]


class DriftShape(Shape):
    """As of the last observation. With `isCorrected` the portal reverts it by itself."""

    is_drifted: bool
    is_corrected: bool
    observed_at: datetime | None = None
    objects: list[DriftedObject]


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/drift",
    auth=on_deployment("deployment.view"),
    response=DriftShape,
    operation_id="GetDeploymentDrift",
    summary="Get what was changed outside the portal",
)
def get_drift(request: Call, at: Path[AtDeployment]) -> Any:
    deployment: Deployment = request.found
    seen, wanted = observation_of(deployment), deployment.wanted
    return DriftShape(
        is_drifted=bool(seen and seen.is_drifted),
        is_corrected=wanted is None or wanted.configuration.corrects_drift,
        observed_at=deployment.observed_at,
        objects=[_object(one) for one in seen.drift] if seen else [],
    )


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/drift/revert",
    auth=on_deployment("deployment.update"),
    response=OperationShape,
    operation_id="RevertDrift",
    summary="Apply the current revision over what others changed",
)
def revert_drift(request: Call, at: Path[AtDeployment]) -> Any:
    """409 where nothing differs."""
    started = put_back(actor=request.caller.user, deployment=request.found)
    return OperationShape(**operation_fields(started))


def _object(drift: Drift) -> DriftedObject:
    return DriftedObject(
        object=drift.object,
        is_gone=drift.is_gone,
        fields=[_field(drift, path) for path in drift.fields],
    )


def _field(drift: Drift, path: str) -> DriftedField:
    wanted, actual = drift.values.get(path, (None, None))
    author = drift.authors.get(path)
    return DriftedField(
        path=path, wanted=wanted, actual=actual, changed_by=author[0] if author else None
    )
