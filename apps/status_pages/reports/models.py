from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.status_pages.setup.models import Component, StatusPage, new_key
from apps.status_pages.setup.states import State


class Impact(models.TextChoices):
    NONE = "none", "No impact"
    MINOR = "minor", "Degraded"
    MAJOR = "major", "Partly down"
    CRITICAL = "critical", "Down"


class Stage(models.TextChoices):
    """How far a report is, in the words of Statuspage's API."""

    INVESTIGATING = "investigating", "Investigating"
    IDENTIFIED = "identified", "Identified"
    MONITORING = "monitoring", "Monitoring"
    RESOLVED = "resolved", "Resolved"
    SCHEDULED = "scheduled", "Scheduled"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETED = "completed", "Completed"


INCIDENT_STAGES = (Stage.INVESTIGATING, Stage.IDENTIFIED, Stage.MONITORING, Stage.RESOLVED)
MAINTENANCE_STAGES = (Stage.SCHEDULED, Stage.IN_PROGRESS, Stage.COMPLETED)
FINAL = (Stage.RESOLVED, Stage.COMPLETED)
STATE_OF_IMPACT: dict[str, State] = {
    Impact.NONE: State.OPERATIONAL,
    Impact.MINOR: State.DEGRADED,
    Impact.MAJOR: State.PARTIAL,
    Impact.CRITICAL: State.MAJOR,
}


class Report(models.Model):
    """An incident or a maintenance as a page tells it.

        draft ──▶ posted: investigating ─▶ identified ─▶ monitoring ─▶ resolved
          └──▶ (discarded)   scheduled ─▶ in progress ─▶ completed

    A draft has no `posted_at` and is on no page. `is_automatic`: the portal wrote it from health,
    and no person has posted to it, so that the portal may resolve it.
    """

    class Kind(models.TextChoices):
        INCIDENT = "incident", "Incident"
        MAINTENANCE = "maintenance", "Maintenance"

    page = models.ForeignKey(StatusPage, on_delete=models.CASCADE, related_name="reports")
    key = models.CharField(max_length=12, unique=True, default=new_key, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    title = models.CharField(max_length=160)
    impact = models.CharField(max_length=8, choices=Impact.choices, default=Impact.MINOR)
    stage = models.CharField(max_length=13, choices=Stage.choices)
    components = models.ManyToManyField(Component, blank=True, related_name="reports")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    over_at = models.DateTimeField(null=True, blank=True)
    postmortem = models.TextField(max_length=10_000, blank=True)
    is_automatic = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("begins_at")),
                name="a_maintenance_has_a_length",
            ),
            models.CheckConstraint(
                condition=~Q(kind="maintenance") | Q(ends_at__isnull=False),
                name="a_maintenance_has_a_planned_end",
            ),
        ]
        indexes = [models.Index(fields=["page", "-begins_at"], name="report_of_page")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_maintenance(self) -> bool:
        return self.kind == self.Kind.MAINTENANCE

    @property
    def is_draft(self) -> bool:
        return self.posted_at is None

    @property
    def is_over(self) -> bool:
        return self.stage in FINAL

    def state_at(self, now: datetime) -> State:
        """Return the state that it puts its components in; well when it does not."""
        if self.is_draft or self.is_over or self.begins_at > now:
            return State.OPERATIONAL
        return State.MAINTENANCE if self.is_maintenance else STATE_OF_IMPACT[self.impact]


class ReportUpdate(models.Model):
    """One posted message of a report, written once. Without an author, the portal itself."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="updates")
    key = models.CharField(max_length=12, unique=True, default=new_key, editable=False)
    stage = models.CharField(max_length=13, choices=Stage.choices)
    text = models.TextField(max_length=2_000)
    at = models.DateTimeField(default=timezone.now)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        indexes = [models.Index(fields=["report", "-at"], name="update_of_report")]

    def __str__(self) -> str:
        return f"{self.stage} {self.report_id}"
