from django.db import models

from apps.alerts.channels.kinds import NEEDS, ChannelKind, Needs
from apps.alerts.receivers import Receiver


class Channel(Receiver):
    """Where messages go.

    `config` may be shown: `to` (addresses of e-mail), `host` (of an address), `region`, `room` (of
    Slack); of a DAG run `deployment` and `by`, who saved it, as numbers, `name` of the Deployment,
    and `dag`.
    `sealed` may not: the address and the key, as JSON. A shared one of an organization is offered
    to rules of its workspaces.
    """

    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    is_shared = models.BooleanField(default=False)
    config = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)

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
