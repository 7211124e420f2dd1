"""Beginning the backups whose time has come. A portal that was away makes one, not each that it
missed.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from apps.backups.models import Backup, BackupSchedule
from apps.backups.services import next_time, request_backup
from apps.core.errors import PortalError
from apps.deployments.models import Phase

AT_ONCE = 50


@transaction.atomic
def begin_due(*, now: datetime) -> int:
    """Ask for the backups of all schedules that are due; return how many were asked for. Two
    workers share the rows.
    """
    due = BackupSchedule.objects.filter(next_at__lte=now).order_by("next_at")
    rows = due.select_for_update(of=("self",), skip_locked=True).select_related(
        "deployment", "changed_by"
    )
    return sum(_begin(schedule, now) for schedule in rows[:AT_ONCE])


def _begin(schedule: BackupSchedule, now: datetime) -> bool:
    schedule.problem = ""
    if schedule.deployment.phase == Phase.DELETED:
        schedule.delete()
        return False
    try:
        with transaction.atomic():
            request_backup(
                actor=None,
                deployment=schedule.deployment,
                reason=Backup.Reason.SCHEDULE,
                keep_days=schedule.keep_days,
            )
    except PortalError as error:
        schedule.problem = error.message[:500]
    schedule.next_at = next_time(
        weekday=schedule.weekday,
        at=schedule.at,
        zone=ZoneInfo(schedule.time_zone),
        after=now,
    )
    schedule.save(update_fields=["problem", "next_at"])
    return not schedule.problem
