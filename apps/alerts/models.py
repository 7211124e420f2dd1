"""The tables of this app; each is defined in the room of its subject."""

from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert, DeadlineCheck
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence

__all__ = ["Alert", "Channel", "DeadlineCheck", "Delivery", "Rule", "Silence"]
