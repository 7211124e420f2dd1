from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.access.queries import ScopedQuerySet
from apps.access.roles.catalogue import Scope
from apps.deployments.models import Deployment
from apps.observability.incidents.evidence import Evidence, evidence_from
from apps.observability.incidents.kinds import KINDS, Severity


class IncidentQuerySet(ScopedQuerySet["Incident"]):
    def shown(self) -> "IncidentQuerySet":
        """Leave out what was noticed but has not opened."""
        return self.exclude(opened_at=None)

    def unclosed(self) -> "IncidentQuerySet":
        """Keep what is open or was noticed."""
        return self.filter(closed_at=None)

    def open(self) -> "IncidentQuerySet":
        return self.unclosed().shown()

    def loud(self, now: datetime) -> "IncidentQuerySet":
        """Keep open ones that are not silenced: those that are counted."""
        is_silenced = Q(silenced_at__isnull=False) & (
            Q(silenced_until=None) | Q(silenced_until__gt=now)
        )
        return self.open().exclude(is_silenced)


class Incident(models.Model):
    """Something wrong with a Deployment, and its history.

        noticed ──▶ open ──▶ closed
           └──▶ (deleted: it was a flicker)

    `subject` is the queue or component that it is about, empty for the whole. `evaluations` counts
    those in a row, the last at `checked_at`, that found it (while it is noticed) or did not find it
    (while `clear_since` is set). A silence without an end lasts until the incident closes. Only
    `evaluation` opens and closes.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="incidents")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=120, blank=True)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    title = models.CharField(max_length=160)
    summary = models.CharField(max_length=600)
    evidence = models.JSONField(default=dict)

    noticed_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    last_seen_at = models.DateTimeField()
    checked_at = models.DateTimeField()
    evaluations = models.PositiveIntegerField(default=1)
    clear_since = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    silenced_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    silenced_at = models.DateTimeField(null=True, blank=True)
    silenced_until = models.DateTimeField(null=True, blank=True)

    access_scope: ClassVar[Scope] = "deployment"
    access_paths: ClassVar[dict[str, str]] = {
        "deployment": "deployment",
        "workspace": "deployment__workspace",
        "organization": "deployment__workspace__organization",
    }

    objects = IncidentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "kind", "subject"],
                condition=Q(closed_at=None),
                name="one_unclosed_incident_per_subject",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(opened_at__isnull=False),
                name="only_an_open_incident_closes",
            ),
            models.CheckConstraint(
                condition=Q(silenced_until=None) | Q(silenced_at__isnull=False),
                name="a_silence_has_a_beginning",
            ),
        ]
        indexes = [
            models.Index(fields=["deployment", "-opened_at"], name="incident_of_deployment"),
            models.Index(
                fields=["deployment"], condition=Q(closed_at=None), name="incident_unclosed"
            ),
            models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False),
                name="incident_closed",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def access_parent(self) -> Any:
        return self.deployment

    @property
    def number(self) -> str:
        return f"INC-{self.pk}"

    @property
    def kind_label(self) -> str:
        kind = KINDS.get(self.kind)
        return kind.label if kind else self.kind

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None and self.closed_at is None

    @property
    def proof(self) -> Evidence:
        return evidence_from(self.evidence)

    def is_silenced(self, now: datetime) -> bool:
        """Return whether it is open but not counted."""
        if self.silenced_at is None or not self.is_open:
            return False
        return self.silenced_until is None or self.silenced_until > now


class IncidentEvent(models.Model):
    """One line of an incident's timeline, written once. Without an actor, the portal itself."""

    class What(models.TextChoices):
        OPENED = "opened", "Opened"
        CHANGED = "changed", "Changed"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        SILENCED = "silenced", "Silenced"
        UNSILENCED = "unsilenced", "Silence ended"
        CLOSED = "closed", "Closed"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    what = models.CharField(max_length=12, choices=What.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.CharField(max_length=600, blank=True)

    class Meta:
        indexes = [models.Index(fields=["incident", "at"], name="event_of_incident")]

    def __str__(self) -> str:
        return f"{self.what} {self.incident_id}"
