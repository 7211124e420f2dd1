"""Reads about channels."""

from django.db.models import Count, Q, QuerySet, TextField
from django.db.models.functions import Cast

from apps.alerts.channels.models import Channel
from apps.alerts.places import Place, here
from apps.organizations.models import Workspace


def channels_of(place: Place, search: str = "") -> QuerySet[Channel]:
    """List the channels that belong to a place, by name, with `rule_count`, the rules that use
    them; with `search` those whose name, addresses or host contain it.
    """
    rows = Channel.objects.filter(here(place)).select_related("workspace", "organization")
    if search:
        rows = rows.annotate(words=Cast("config", TextField())).filter(
            Q(name__icontains=search) | Q(words__icontains=search)
        )
    return rows.annotate(rule_count=Count("rules", distinct=True)).order_by("name", "pk")


def channels_for(place: Place) -> QuerySet[Channel]:
    """List the channels that rules of a place can use: its own, and those that its organization
    shares.
    """
    mine = here(place)
    if isinstance(place, Workspace):
        mine |= Q(organization=place.organization, workspace=None, is_shared=True)
    return Channel.objects.filter(mine).order_by("name", "pk")
