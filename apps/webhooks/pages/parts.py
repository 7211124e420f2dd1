"""What the pages of both kinds of places share."""

from collections.abc import Iterable
from typing import Any

from django.urls import reverse

from apps.alerts.places import Place
from apps.organizations.models import Workspace
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.events.topics import Topic

MANAGE_ORGANIZATION = "organization.webhooks.manage"
MANAGE_WORKSPACE = "workspace.webhooks.manage"
State = WebhookDelivery.State
TONES = {State.WAITING: "move", State.DELIVERED: "good", State.FAILED: "bad"}


def address(place: Place, name: str, *arguments: Any) -> str:
    """Return the address of a page of a place."""
    prefix = "workspace_" if isinstance(place, Workspace) else ""
    return reverse(f"webhooks:{prefix}{name}", args=[place.slug, *arguments])


def delivery_row(one: WebhookDelivery, place: Place) -> dict[str, Any]:
    """Return a delivery as the log shows it."""
    state = State(one.state)
    return {
        "delivery": one,
        "tone": TONES[state],
        "word": "Retrying" if state == State.WAITING and one.attempts else state.label,
        "is_waiting": state == State.WAITING,
        "where": _where(one.body),
        "resend_url": address(place, "resend", one.webhook_id, one.sequence),
    }


def topics_in_words(topics: Iterable[str]) -> str:
    """Name the topics of a webhook, in the order of the form."""
    chosen = set(topics)
    if chosen.issuperset(Topic):
        return "all events"
    return ", ".join(topic.label for topic in Topic if topic in chosen)


def _where(body: dict[str, Any]) -> str:
    """Name the innermost place of an event."""
    for name in ("deployment", "workspace", "organization"):
        found = body.get(name)
        if found:
            return str(found["name"])
    return ""
