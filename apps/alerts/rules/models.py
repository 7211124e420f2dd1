from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from apps.alerts.channels.models import Channel
from apps.alerts.places import Placed
from apps.alerts.rules.kinds import ABOUT, About, Grouping, RuleKind
from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import Severity

AUDITED = (
    "name",
    "kind",
    "severity",
    "is_enabled",
    "deployments",
    "dags",
    "without_dags",
    "tasks",
    "tags",
    "limit_seconds",
    "due_at",
    "zone",
    "repeat_minutes",
)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def whole_week() -> list[int]:
    """Return all weekdays."""
    return list(range(7))


class Rule(Placed):
    """What people want to be told of, and where.

    It applies to the Deployments of its place: to one, or to those whose name matches
    `deployments`. `dags`, `without_dags`, `tasks` and `tags` are patterns, separated by commas; an
    empty one asks for nothing. Whatever happened before `since` is not told.

    A deadline is `due_at` in the time zone `zone`, on `weekdays` (Monday is 0): a run must have
    succeeded in the `within_hours` before it.
    """

    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=14, choices=RuleKind.choices)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices, default=Severity.WARNING)
    is_enabled = models.BooleanField(default=True)
    deployments = models.CharField(max_length=200, blank=True)
    dags = models.CharField(max_length=500, blank=True)
    without_dags = models.CharField(max_length=500, blank=True)
    tasks = models.CharField(max_length=500, blank=True)
    tags = models.CharField(max_length=200, blank=True)
    incident_kinds = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    limit_seconds = models.PositiveIntegerField(null=True, blank=True)
    due_at = models.TimeField(null=True, blank=True)
    zone = models.CharField(max_length=64, blank=True)
    weekdays = ArrayField(models.PositiveSmallIntegerField(), default=whole_week, blank=True)
    within_hours = models.PositiveSmallIntegerField(default=24)

    channels = models.ManyToManyField(Channel, blank=True, related_name="rules")
    grouping = models.CharField(
        max_length=10, choices=Grouping.choices, default=Grouping.DEPLOYMENT
    )
    repeat_minutes = models.PositiveIntegerField(default=0)
    tells_resolved = models.BooleanField(default=True)
    escalate_minutes = models.PositiveIntegerField(default=0)
    escalate_to = models.ForeignKey(
        Channel, null=True, blank=True, on_delete=models.SET_NULL, related_name="escalations"
    )

    since = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(kind__in=[RuleKind.DAG_SLOW, RuleKind.TASK_SLOW])
                | models.Q(limit_seconds__isnull=False),
                name="a_rule_about_durations_has_a_limit",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind=RuleKind.DAG_LATE) | models.Q(due_at__isnull=False),
                name="a_rule_about_deadlines_has_one",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def about(self) -> About:
        return ABOUT[self.kind]

    def begins(self, at: datetime) -> bool:
        """Return whether what happened at a time is told."""
        return at >= self.since

    def as_changes(self) -> dict[str, Any]:
        """Return what the audit log says of it."""
        return {name: str(getattr(self, name)) for name in AUDITED if getattr(self, name) != ""}
