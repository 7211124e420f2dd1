from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.alerts.rules.models import Rule
from apps.deployments.models import Deployment
from apps.observability.incidents.models import Incident


class Alert(models.Model):
    """That a rule found something in a Deployment, until it is over.

        open ──▶ closed

    One is open for each rule, Deployment and group. `subjects` are what it is about, by name: DAG,
    task, the last run and a `note` about it, short digests of the last `runs`, how often, and when
    last (seconds since 1970). `more` counts those that have no place there. `count` is of all,
    `untold` of those since the last message. `told` counts messages, the last at `told_at`;
    `next_at` is when `notices` looks again, None for never.
    """

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="alerts")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    incident = models.ForeignKey(
        Incident, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    group = models.CharField(max_length=250, blank=True)
    subjects = models.JSONField(default=dict)
    more = models.PositiveIntegerField(default=0)
    count = models.PositiveIntegerField(default=0)
    untold = models.PositiveIntegerField(default=0)
    happened_at = models.DateTimeField()
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    close_reason = models.CharField(max_length=200, blank=True)

    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    told = models.PositiveIntegerField(default=0)
    first_told_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "deployment", "group"],
                condition=Q(closed_at=None),
                name="one_open_alert_per_group",
            )
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(closed_at=None), name="alert_open"),
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="alert_to_tell"
            ),
            models.Index(fields=["deployment", "-opened_at"], name="alert_of_deployment"),
            models.Index(fields=["closed_at"], name="alert_by_age"),
            models.Index(fields=["rule", "incident"], name="alert_of_incident"),
        ]

    def __str__(self) -> str:
        return f"ALERT-{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    def newest_subjects(self, most: int) -> list[tuple[str, dict[str, Any]]]:
        """List what it is about, the latest first."""
        found = sorted(self.subjects.items(), key=lambda item: item[1]["at"], reverse=True)
        return found[:most]


class DeadlineCheck(models.Model):
    """That a deadline of a rule was evaluated for a Deployment."""

    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="+")
    due_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "deployment", "due_at"], name="one_check_per_deadline"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} in {self.deployment_id} at {self.due_at:{_FORMAT}}"


_FORMAT = "%Y-%m-%d %H:%M"


def epoch(at: datetime) -> int:
    """Return a moment as `subjects` hold it."""
    return int(at.timestamp())
