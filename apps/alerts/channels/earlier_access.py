"""A channel that triggers a DAG does so in the name of who saved it. It waits for another person's
word once the ways into that account have ended, if its address was not proved before.
"""

from typing import Any

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.accounts.sign_in.address_proof import earlier_access_ended
from apps.alerts.channels.kinds import ChannelKind
from apps.alerts.channels.models import Channel


def connect() -> None:
    """Connect to the signal of accounts. Called once, when the app is ready."""
    earlier_access_ended.connect(_end, dispatch_uid="end channels that trigger DAGs")


def _end(sender: Any, user: User, **_: Any) -> list[str]:
    found = list(Channel.objects.filter(kind=ChannelKind.DAG, config__by=user.pk))
    for channel in found:
        channel.config["by"] = None
        channel.save(update_fields=["config"])
        change = {f"channel {channel}": ["triggers a DAG", f"to be saved again: {user.email}"]}
        record_on(action="alert_channel.orphaned", actor=None, on=channel.place, changes=change)
    return [f"runs of a DAG by the channel {channel}" for channel in found]
