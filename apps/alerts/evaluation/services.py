"""What people do with an alert. It closes by itself, never by hand."""

from datetime import datetime

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.alerts.evaluation.models import Alert
from apps.core.errors import Conflict


@transaction.atomic
def acknowledge(*, actor: User, alert_id: int, now: datetime) -> Alert:
    """Say that a person looks after an open alert: it is neither repeated nor escalated any more.

    Raises Conflict when it has closed.
    """
    rows = Alert.objects.select_for_update(of=("self",))
    alert = rows.select_related("deployment__workspace__organization", "rule").get(pk=alert_id)
    if not alert.is_open:
        raise Conflict("This alert closed in the meantime. There is nothing left to do.")
    if alert.acknowledged_at is not None:
        return alert
    alert.acknowledged_by, alert.acknowledged_at = actor, now
    alert.save(update_fields=["acknowledged_by", "acknowledged_at"])
    changes = {"alert": [None, f"{alert}: {alert.rule.name}"]}
    record_on(action="alert.acknowledged", actor=actor, on=alert.deployment, changes=changes)
    return alert
