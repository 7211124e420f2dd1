"""When backups of a Deployment are made by themselves, and the last one before it is deleted."""

from datetime import datetime, time
from typing import Annotated, Any

from ninja import Path, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.upkeep.backups import BackupShape, Restore, backup_shape
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, on_deployment
from apps.api.wire.shapes import Like, Shape
from apps.backups import services
from apps.backups.forms import ScheduleForm
from apps.backups.models import Backup, BackupSchedule
from apps.backups.views import KEPT_AFTER_DELETION
from apps.core.errors import Invalid
from apps.core.public_ids import public_id

router = Router(by_alias=True, exclude_none=True, tags=["Backup"])
DAYS = [name.upper() for name in services.WEEKDAYS]
FIELDS = {
    "weekday": "dayOfWeek",
    "at": "timeOfDay",
    "time_zone": "timeZone",
    "keep_days": "keepDays",
}


class ScheduleBody(Shape):
    """Every day, or once a week on `dayOfWeek`, such as MONDAY. `timeOfDay` like 02:30 follows the
    daylight saving of `timeZone`.
    """

    day_of_week: str | None = None
    time_of_day: Annotated[str, Like(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "02:30")]
    time_zone: str = Field(default="UTC", max_length=64)
    keep_days: int = Field(default=30, ge=1, le=3650)


class ScheduleShape(Shape):
    """`problem` says why the last backup that was due was not made."""

    deployment_id: str
    day_of_week: str | None = None
    time_of_day: str
    time_zone: str
    keep_days: int
    next_at: datetime
    problem: str | None = None


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/backup-schedule",
    auth=on_deployment("deployment.view"),
    response=ScheduleShape,
    operation_id="GetBackupSchedule",
    summary="Get the schedule of backups",
)
def get_schedule(request: Call, at: Path[AtDeployment]) -> Any:
    """404 where there is none."""
    found = or_404(BackupSchedule.objects.filter(pk=request.found.pk).first())
    return _shape(found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/backup-schedule",
    auth=on_deployment("deployment.update"),
    response=ScheduleShape,
    operation_id="SetBackupSchedule",
    summary="Back up by a schedule from now on",
)
def set_schedule(request: Call, at: Path[AtDeployment], body: ScheduleBody) -> Any:
    day = body.day_of_week
    if day is not None and day.upper() not in DAYS:
        raise Invalid(f"Send one of {', '.join(DAYS)}, or none for every day.", field="dayOfWeek")
    entered = {
        "weekday": "" if day is None else str(DAYS.index(day.upper())),
        "at": body.time_of_day,
        "time_zone": body.time_zone,
        "keep_days": body.keep_days,
    }
    form = ScheduleForm(entered, schedule=None)
    check(form, FIELDS)
    saved = services.save_schedule(
        actor=request.caller.user, deployment=request.found, **form.cleaned_data
    )
    return _shape(saved)


@router.delete(
    "/organizations/{organizationId}/deployments/{deploymentId}/backup-schedule",
    auth=on_deployment("deployment.update"),
    response={204: None},
    operation_id="RemoveBackupSchedule",
    summary="Make no more backups by a schedule; those that exist are kept until their day",
)
def remove_schedule(request: Call, at: Path[AtDeployment]) -> None:
    services.remove_schedule(actor=request.caller.user, deployment=request.found)


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/backup-and-delete",
    auth=on_deployment("deployment.delete"),
    response=BackupShape,
    operation_id="BackUpAndDeleteDeployment",
    summary="Back up a Deployment, and delete it when that is complete",
)
def back_up_and_delete(request: Call, at: Path[AtDeployment], body: Restore) -> Any:
    """`deploymentName` is its name, typed again. The backup is kept for 30 days."""
    deployment = request.found
    if body.deployment_name.strip() != deployment.name:
        raise Invalid(f"Type {deployment.name} to delete it.", field="deploymentName")
    made = services.request_backup(
        actor=request.caller.user,
        deployment=deployment,
        reason=Backup.Reason.DELETION,
        keep_days=KEPT_AFTER_DELETION,
        then_deletes=True,
    )
    return backup_shape(made)


def _shape(schedule: BackupSchedule) -> ScheduleShape:
    at: time = schedule.at
    return ScheduleShape(
        deployment_id=public_id("deployment", schedule.deployment_id),
        day_of_week=None if schedule.weekday is None else DAYS[schedule.weekday],
        time_of_day=f"{at:%H:%M}",
        time_zone=schedule.time_zone,
        keep_days=schedule.keep_days,
        next_at=schedule.next_at,
        problem=schedule.problem or None,
    )
