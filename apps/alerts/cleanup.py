"""What is not kept for ever."""

from datetime import datetime, timedelta

from django.conf import settings

from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.evaluation.models import Alert, DeadlineCheck
from apps.deployments.models import Phase

MOST_FORGOTTEN = 10_000
CHECKED = timedelta(days=4)


def forget_old(*, now: datetime) -> int:
    """Delete alerts that closed longer ago than the setting keeps them, tests and messages of that
    age, and all of Deployments that were deleted; return how many rows, some thousands at most.
    """
    before = now - timedelta(days=settings.ALERT_DAYS)
    sent = Delivery.objects.exclude(state=DeliveryState.WAITING)
    old = (
        Alert.objects.filter(closed_at__lt=before),
        Alert.objects.filter(deployment__phase=Phase.DELETED, closed_at__isnull=False),
        sent.filter(created_at__lt=before),
        DeadlineCheck.objects.filter(due_at__lt=now - CHECKED),
    )
    count = 0
    for rows in old:
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:MOST_FORGOTTEN])
        count += rows.model._default_manager.filter(pk__in=ids).delete()[0]
    return count
