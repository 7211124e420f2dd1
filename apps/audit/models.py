from django.conf import settings
from django.db import models
from django.utils import timezone


class AuditEvent(models.Model):
    """Who did what to what, from where. Written once, in the transaction of the change, never
    updated.

    The target is kept by kind, id and label, not by key: the record outlives what it is about.
    """

    at = models.DateTimeField(default=timezone.now, editable=False)
    organization_id = models.BigIntegerField(null=True, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        editable=False,
        related_name="+",
    )
    actor_label = models.CharField(max_length=254, editable=False)
    action = models.CharField(max_length=80, editable=False)
    target_kind = models.CharField(max_length=40, editable=False)
    target_id = models.CharField(max_length=64, editable=False)
    target_label = models.CharField(max_length=200, editable=False)
    changes = models.JSONField(default=dict, editable=False)
    address = models.CharField(max_length=64, blank=True, editable=False)
    request_id = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["organization_id", "-id"], name="audit_by_organization"),
            models.Index(fields=["target_kind", "target_id", "-id"], name="audit_by_target"),
        ]

    @property
    def lines(self) -> list[str]:
        """Say each change in one line: "name: old → new"."""
        lines = []
        for field, change in self.changes.items():
            if isinstance(change, list) and len(change) == 2:
                before, after = ("nothing" if one in (None, "") else one for one in change)
                lines.append(f"{field}: {before} → {after}")
            else:
                lines.append(f"{field}: {change}")
        return lines
