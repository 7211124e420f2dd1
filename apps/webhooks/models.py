"""The tables of this app; each is defined in the room of its subject."""

from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.events.models import Event
from apps.webhooks.hooks.models import Webhook

__all__ = ["Event", "Webhook", "WebhookDelivery"]
