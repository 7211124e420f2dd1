"""Reads about webhooks."""

from django.db.models import Count, Q, QuerySet

from apps.alerts.places import Place, here
from apps.webhooks.hooks.models import Webhook


def webhooks_of(place: Place, search: str = "") -> QuerySet[Webhook]:
    """List the webhooks that belong to a place, by name, with `waiting`, what was not sent yet;
    with `search` those whose name or host contains it.
    """
    rows = Webhook.objects.filter(here(place)).select_related("workspace", "organization")
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(host__icontains=search))
    waiting = Count("deliveries", filter=Q(deliveries__state="waiting"))
    return rows.annotate(waiting=waiting).order_by("name", "pk")
