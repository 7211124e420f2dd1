"""Putting a Deployment to sleep and keeping it awake, whatever its schedules say."""

from typing import Any

from django.utils import timezone
from ninja import Path, Router

from apps.api.deployments.shapes import AtDeployment
from apps.api.hibernation import OverrideBody, OverrideShape, deadlines_by, missed_by, save_override
from apps.api.wire.gates import Call, on_deployment
from apps.hibernation.services import follow_schedules

router = Router(by_alias=True, exclude_none=True, tags=["Deployment"])
ADDRESS = "/organizations/{organizationId}/deployments/{deploymentId}/hibernation-override"


@router.post(
    ADDRESS,
    auth=on_deployment("deployment.update"),
    response=OverrideShape,
    operation_id="UpdateDeploymentHibernationOverride",
    summary="Hibernate or wake up a Deployment",
)
def set_override(request: Call, at: Path[AtDeployment], body: OverrideBody) -> Any:
    """It holds until `overrideUntil`, or until it is removed."""
    save_override(
        actor=request.caller.user, deployment=request.found, body=body, now=timezone.now()
    )
    return OverrideShape(
        is_hibernating=body.is_hibernating,
        override_until=body.override_until,
        is_active=True,
        deadlines_asleep=deadlines_by(request.found, body),
        missed_runs=missed_by(request.found, body),
    )


@router.delete(
    ADDRESS,
    auth=on_deployment("deployment.update"),
    response={204: None},
    operation_id="DeleteDeploymentHibernationOverride",
    summary="Let the hibernation schedules of a Deployment hold again",
)
def remove_override(request: Call, at: Path[AtDeployment]) -> None:
    follow_schedules(actor=request.caller.user, deployment=request.found, now=timezone.now())
