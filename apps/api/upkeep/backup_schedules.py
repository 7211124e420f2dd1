"""When a Deployment is backed up by itself."""

import datetime as dt
from typing import Any

from ninja import Path, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import NotHere
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Shape
from apps.backups import services
from apps.backups.models import BackupSchedule

router = Router(by_alias=True, exclude_none=True, tags=["Backup"])
ADDRESS = "/organizations/{organizationId}/deployments/{deploymentId}/backup-schedule"


class ScheduleBody(Shape):
    """`weekday` is 0 for Monday to 6, left out for every day; `at` is a time of day such as 02:00
    in `timeZone`.
    """

    weekday: int | None = Field(default=None, ge=0, le=6)
    at: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    time_zone: str = Field(default="UTC", max_length=64)
    keep_days: int = Field(default=30, ge=1, le=3650)


class ScheduleShape(ScheduleBody):
    """`problem` is why the last one was not made."""

    next_at: dt.datetime
    problem: str | None = None


@router.get(
    ADDRESS,
    auth=on_deployment("deployment.view"),
    response=ScheduleShape,
    operation_id="GetBackupSchedule",
    summary="Get when backups are made",
)
def get_schedule(request: Call, at: Path[AtDeployment]) -> Any:
    """404 where none are made by themselves."""
    found = BackupSchedule.objects.filter(pk=request.found.pk).first()
    if found is None:
        raise NotHere
    return _shape(found)


@router.post(
    ADDRESS,
    auth=on_deployment("deployment.update"),
    response=ScheduleShape,
    operation_id="SetBackupSchedule",
    summary="Make backups every day or week",
)
def set_schedule(request: Call, at: Path[AtDeployment], body: ScheduleBody) -> Any:
    saved = services.save_schedule(
        actor=request.caller.user,
        deployment=request.found,
        weekday=body.weekday,
        at=dt.time.fromisoformat(body.at),
        time_zone=body.time_zone,
        keep_days=body.keep_days,
    )
    return _shape(saved)


@router.delete(
    ADDRESS,
    auth=on_deployment("deployment.update"),
    response={204: None},
    operation_id="RemoveBackupSchedule",
    summary="Make no more backups by themselves",
)
def remove_schedule(request: Call, at: Path[AtDeployment]) -> None:
    services.remove_schedule(actor=request.caller.user, deployment=request.found)


def _shape(schedule: BackupSchedule) -> ScheduleShape:
    return ScheduleShape(
        weekday=schedule.weekday,
        at=f"{schedule.at:%H:%M}",
        time_zone=schedule.time_zone,
        keep_days=schedule.keep_days,
        next_at=schedule.next_at,
        problem=schedule.problem or None,
    )
