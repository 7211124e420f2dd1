"""Uploads that are looked at before they are deployed."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.deployments.models import Deployment, Revision
from apps.deploys.models.deliveries import Deploy, Kind


class PreviewState(models.TextChoices):
    """How far an upload came that is looked at before it is deployed."""

    CHECKING = "checking", "Checking"
    READY = "ready", "Waiting for confirmation"
    FAILED = "failed", "Not deployable"
    DEPLOYED = "deployed", "Deployed"
    DISCARDED = "discarded", "Discarded"


class Preview(models.Model):
    """An upload that was accepted, and what deploying it would change.

    `needs` is what the project asks for: requirement lines, and versions that its own lock prefers.
    `base` is the revision that it was compared with; `runtime` the one that it was checked with.
    `packages` and `dags` are as in `Deploy`; `errors` are [[file, line, message, traceback, whether
    it asks Airflow]]; `before` is what runs: {"dags": rows or None, "running": {id: runs} or None}.
    `lease_until` is when a check that does not end is begun again. `source` and `origin` say how it
    came (see `origins`); of a push, `created_by` vouches for it.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="previews")
    number = models.PositiveIntegerField()
    source = models.CharField(
        max_length=10, choices=Deploy.Source.choices, default=Deploy.Source.HAND
    )
    origin = models.JSONField(default=dict, blank=True)
    state = models.CharField(
        max_length=10, choices=PreviewState.choices, default=PreviewState.CHECKING
    )
    is_deployed_at_once = models.BooleanField(default=False)
    file_name = models.CharField(max_length=200)
    description = models.CharField(max_length=500, blank=True)
    digest = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    files = models.JSONField(default=list)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.DAGS)
    notes = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    needs = models.JSONField(default=dict, blank=True)

    step = models.CharField(max_length=20, blank=True)
    # When each step of the last check began: {"install": "2026-11-29T03:10:00+00:00"}.
    step_times = models.JSONField(default=dict, blank=True, db_default={})
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    base = models.ForeignKey(
        Revision, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    runtime = models.CharField(max_length=40, blank=True)
    packages_digest = models.CharField(max_length=64, blank=True)
    packages = models.JSONField(default=list, blank=True)
    dags = models.JSONField(default=list, blank=True)
    errors = models.JSONField(default=list, blank=True)
    # [[kind, name, file, line, whether the code has a default]], None where they are not known.
    names = models.JSONField(null=True, blank=True)
    before = models.JSONField(default=dict, blank=True)
    problem = models.CharField(max_length=1500, blank=True)
    log = models.JSONField(default=list, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    took_seconds = models.FloatField(null=True, blank=True)

    deploy = models.OneToOneField(
        Deploy, null=True, blank=True, on_delete=models.SET_NULL, related_name="preview"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="preview_number_unique")
        ]

    def __str__(self) -> str:
        return f"preview {self.number}"
