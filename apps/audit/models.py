from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

# The chain of events that belong to no organization.
NO_ORGANIZATION = 0
# The event that explains a cut. The database asks for it, too (migration 0003).
CUT = "audit.events_deleted"
# What the first event of a chain names as the hash before it.
NO_HASH = "0" * 64


class AuditChain(models.Model):
    """Where the chain of an organization's events ends, and where retention cut off its beginning.
    `retention_days` is how old events had to be for that cut, which an event explains.

    The database makes and moves this row itself, at the commit of each event (migration 0002); only
    the cut is made here.
    """

    organization_id = models.BigIntegerField(primary_key=True)
    last_sequence = models.BigIntegerField(default=0)
    last_hash = models.CharField(max_length=64, default=NO_HASH)
    forgotten_sequence = models.BigIntegerField(default=0)
    forgotten_hash = models.CharField(max_length=64, default=NO_HASH)
    forgotten_at = models.DateTimeField(null=True)
    retention_days = models.IntegerField(default=0, db_default=0)


class AuditEvent(models.Model):
    """One audit event: who did what to what, from where. Written once, in the transaction of the
    change, never updated.

    The target is kept by kind, id and label, not by key, and the actor without a constraint: the
    record outlives both. `sequence`, `previous_hash` and `hash` are set by the database at commit.
    """

    at = models.DateTimeField(default=timezone.now, editable=False)
    organization_id = models.BigIntegerField(null=True, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
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
    digest = models.CharField(max_length=64, editable=False)
    sequence = models.BigIntegerField(null=True, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["organization_id", "-id"], name="audit_by_organization"),
            models.Index(fields=["target_kind", "target_id", "-id"], name="audit_by_target"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "sequence"],
                condition=Q(sequence__isnull=False),
                nulls_distinct=False,
                name="audit_sequence_unique_in_chain",
            )
        ]

    @property
    def lines(self) -> list[str]:
        """Return each change in one line: "name: old → new"."""
        lines = []
        for field, change in self.changes.items():
            if isinstance(change, list) and len(change) == 2:
                before, after = ("none" if one in (None, "") else one for one in change)
                lines.append(f"{field}: {before} → {after}")
            else:
                lines.append(f"{field}: {change}")
        return lines
