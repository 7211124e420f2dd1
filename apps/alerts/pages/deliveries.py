from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.request_user import request_user
from apps.alerts.channels.queries import channels_of
from apps.alerts.deliveries.models import Delivery, DeliveryState
from apps.alerts.deliveries.services import resend
from apps.alerts.pages.parts import (
    MANAGE_ORGANIZATION,
    MANAGE_WORKSPACE,
    PAGE_SIZE,
    address,
    common,
    on_organization,
    on_workspace,
)
from apps.alerts.pages.queries import STATES, DeliveryFilter, deliveries_of
from apps.alerts.places import Place
from apps.core.web.form_pages import errors_as_messages
from apps.core.web.htmx import is_fragment, skip_unchanged

POLL_SECONDS, MOST_CHOICES = 20, 50
TONES = {
    DeliveryState.WAITING: "move",
    DeliveryState.DELIVERED: "good",
    DeliveryState.FAILED: "bad",
}


def _deliveries(request: HttpRequest, place: Place) -> HttpResponse:
    channels = {str(pk): name for pk, name in channels_of(place).values_list("pk", "name")}
    wanted = DeliveryFilter.from_query(request.GET.dict(), channels)
    found = deliveries_of(place=place, wanted=wanted)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = common(request, place, "deliveries") | {
        "page": page,
        "rows": [delivery_row(one, place) for one in page.object_list],
        "wanted": wanted,
        "channels": _choices(channels, wanted.channel),
        "states": list(STATES.items()),
        "now": timezone.now(),
        "poll_seconds": POLL_SECONDS,
        "address": request.get_full_path(),
        "is_live": request.GET.get("live") != "off",
    }
    name = "_deliveries" if is_fragment(request) else "deliveries"
    response = render(request, f"alerts/deliveries/{name}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _choices(channels: dict[str, str], chosen: str) -> list[tuple[str, str]]:
    """List the channels to filter by: the first ones, and the one that is chosen. Others are found
    by their names.
    """
    known = list(channels.items())
    beyond = [one for one in known[MOST_CHOICES:] if one[0] == chosen]
    return known[:MOST_CHOICES] + beyond


def delivery_row(one: Delivery, place: Place | None = None) -> dict[str, Any]:
    """Return a message as tables show it; without a place it cannot be sent again from there."""
    state = DeliveryState(one.state)
    return {
        "delivery": one,
        "title": str(one.message.get("title", "")),
        "rule": str(one.message.get("rule", "")),
        "tone": TONES[state],
        "word": "Retrying" if state == DeliveryState.WAITING and one.attempts else state.label,
        "resend_url": address(place, "resend", one.pk) if place is not None else "",
        "is_waiting": state == DeliveryState.WAITING,
    }


def _resend(request: HttpRequest, place: Place, delivery_id: int) -> HttpResponse:
    mine = deliveries_of(place=place, wanted=DeliveryFilter())
    delivery = get_object_or_404(mine, pk=delivery_id)
    with errors_as_messages(request):
        resend(actor=request_user(request), delivery=delivery, now=timezone.now())
        messages.success(request, f"The message is sent to {delivery.channel.name} again.")
    return redirect(address(place, "deliveries"))


deliveries = require_safe(_deliveries)
resend_delivery = require_POST(_resend)

organization_deliveries = on_organization(MANAGE_ORGANIZATION)(deliveries)
organization_resend = on_organization(MANAGE_ORGANIZATION)(resend_delivery)
workspace_deliveries = on_workspace(MANAGE_WORKSPACE)(deliveries)
workspace_resend = on_workspace(MANAGE_WORKSPACE)(resend_delivery)
