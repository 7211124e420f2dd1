import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from apps.alerts.channels.kinds import NEEDS, ChannelKind, Needs
from apps.alerts.places import Placed


class Channel(Placed):
    """Where messages go.

    `config` may be shown: `to` (addresses of e-mail), `host` (of an address), `region`, `room` (of
    Slack); of a DAG run `deployment` and `by`, who saved it, as numbers, `name` of the Deployment,
    and `dag`.
    `sealed` may not: the address and the key, as JSON. A shared one of an organization is offered
    to rules of its workspaces.

    The outbox takes a channel as a whole: `claimed_until` is the lease of the one that sends, and
    `next_at` is when a channel that failed is tried again.
    """

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    is_shared = models.BooleanField(default=False)
    config = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    claimed_until = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                "organization",
                "workspace",
                name="channel_name_unique_in_place",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name

    def identity(self, field: str) -> str:
        """Name a sealed field of this row for the cipher."""
        return f"alerts.channel|{self.key}|{field}"

    @property
    def needs(self) -> Needs:
        return NEEDS[self.kind]

    @property
    def destination(self) -> str:
        """Where it leads, in words that give no secret away."""
        if self.kind == ChannelKind.EMAIL:
            to = self.config.get("to", [])
            rest = f" and {len(to) - 1} more" if len(to) > 1 else ""
            return f"{to[0]}{rest}" if to else ""
        if self.kind == ChannelKind.DAG:
            return f"{self.config.get('dag')} in {self.config.get('name')}"
        return str(self.config.get("host") or self.config.get("room") or "")
