"""What is not kept for ever."""

from datetime import datetime, timedelta

from apps.status_pages.health.models import ComponentDay
from apps.status_pages.reports.models import Report
from apps.status_pages.subscriptions.services import forget_unconfirmed

DAYS_KEPT, DRAFTS_KEPT = timedelta(days=100), timedelta(days=30)


def forget_old(*, now: datetime) -> int:
    """Delete days that no bar shows any more, drafts of disturbances that were over a month ago,
    and addresses whose readers did not confirm; return how many rows.
    """
    days = ComponentDay.objects.filter(day__lt=(now - DAYS_KEPT).date())
    drafts = Report.objects.filter(posted_at=None, over_at__lt=now - DRAFTS_KEPT)
    return days.delete()[0] + drafts.delete()[0] + forget_unconfirmed(now=now)
