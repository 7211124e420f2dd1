from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.request_user import request_user
from apps.alerts.channels import services
from apps.alerts.channels.kinds import NEEDS, ChannelKind
from apps.alerts.channels.models import Channel
from apps.alerts.channels.queries import channels_of
from apps.alerts.deliveries.sending import SendFailed
from apps.alerts.deliveries.services import send_test
from apps.alerts.pages.forms.channels import ChannelForm
from apps.alerts.pages.parts import (
    MANAGE_ORGANIZATION,
    MANAGE_WORKSPACE,
    PAGE_SIZE,
    address,
    common,
    on_organization,
    on_workspace,
    search_in,
)
from apps.alerts.pages.queries import deployments_to_run
from apps.alerts.places import Place
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted

KINDS = [(kind, ChannelKind(kind).label, needs) for kind, needs in NEEDS.items()]


def _channels(request: HttpRequest, place: Place) -> HttpResponse:
    search = search_in(request)
    page = Paginator(channels_of(place, search), PAGE_SIZE).get_page(request.GET.get("page"))
    log = address(place, "deliveries")
    rows = [
        {
            "channel": one,
            "log_url": f"{log}?channel={one.pk}",
            "url": address(place, "channel", one.pk),
            "test_url": address(place, "test_channel", one.pk),
        }
        for one in page.object_list
    ]
    context = common(request, place, "channels") | {
        "page": page,
        "search": search,
        "rows": rows,
        "kinds": [
            {"url": address(place, "new_channel", kind), "label": label, "needs": needs}
            for kind, label, needs in KINDS
        ],
    }
    return render(request, "alerts/channels/channels.html", context)


def _new_channel(request: HttpRequest, place: Place, kind: str) -> HttpResponse:
    if kind not in NEEDS:
        raise Http404
    form = _form(request, place, kind, None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            made = services.create_channel(
                actor=request_user(request), place=place, kind=kind, data=form.data_entered()
            )
            messages.success(request, f"Channel {made.name} created. Send a test message next.")
            return redirect(address(place, "channels"))
    return _form_page(request, place, form, kind, None)


def _channel(request: HttpRequest, place: Place, channel_id: int) -> HttpResponse:
    channel = _found(place, channel_id)
    form = _form(request, place, channel.kind, channel)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.update_channel(
                actor=request_user(request), channel=channel, data=form.data_entered()
            )
            messages.success(request, f"Channel {channel.name} saved.")
            return redirect(address(place, "channels"))
    return _form_page(request, place, form, channel.kind, channel)


def _form(request: HttpRequest, place: Place, kind: str, channel: Channel | None) -> ChannelForm:
    return ChannelForm(
        request.POST if request.method == "POST" else None,
        kind=kind,
        place=place,
        channel=channel,
        deployments=deployments_to_run(place=place, user=request_user(request)),
    )


def _form_page(
    request: HttpRequest, place: Place, form: ChannelForm, kind: str, channel: Channel | None
) -> HttpResponse:
    context = common(request, place, "") | {
        "form": form,
        "kind_label": ChannelKind(kind).label,
        "needs": NEEDS[kind],
        "channel": channel,
        "delete_url": address(place, "delete_channel", channel.pk) if channel else "",
    }
    return form_page(request, "alerts/channels/channel.html", context, form)


def _test_channel(request: HttpRequest, place: Place, channel_id: int) -> HttpResponse:
    """Send a test message and show the answer."""
    channel = _found(place, channel_id)
    try:
        answer = send_test(actor=request_user(request), channel=channel, now=timezone.now())
    except SendFailed as error:
        messages.error(request, f"The test did not reach {channel.name}. {error.message}")
    else:
        messages.success(request, f"The test was delivered to {channel.name}: {answer}")
    return redirect(address(place, "channels"))


def _delete_channel(request: HttpRequest, place: Place, channel_id: int) -> HttpResponse:
    channel = _found(place, channel_id)
    if request.method == "POST":
        services.delete_channel(actor=request_user(request), channel=channel)
        messages.success(request, f"Channel {channel.name} deleted.")
        return redirect(address(place, "channels"))
    context = common(request, place, "") | {
        "what": f"channel {channel.name}",
        "lost": "Rules send nothing there any more, and the log of its messages is deleted.",
        "back_url": address(place, "channel", channel.pk),
        "used_by": list(channel.rules.order_by("name")[:10]),
    }
    return render(request, "alerts/delete.html", context)


def _found(place: Place, channel_id: int) -> Channel:
    return get_object_or_404(channels_of(place), pk=channel_id)


channels = require_safe(_channels)
new_channel = require_http_methods(["GET", "HEAD", "POST"])(_new_channel)
channel = require_http_methods(["GET", "HEAD", "POST"])(_channel)
test_channel = require_POST(_test_channel)
delete_channel = require_http_methods(["GET", "HEAD", "POST"])(_delete_channel)

organization_channels = on_organization(MANAGE_ORGANIZATION)(channels)
organization_new_channel = on_organization(MANAGE_ORGANIZATION)(new_channel)
organization_channel = on_organization(MANAGE_ORGANIZATION)(channel)
organization_test_channel = on_organization(MANAGE_ORGANIZATION)(test_channel)
organization_delete_channel = on_organization(MANAGE_ORGANIZATION)(delete_channel)

workspace_channels = on_workspace(MANAGE_WORKSPACE)(channels)
workspace_new_channel = on_workspace(MANAGE_WORKSPACE)(new_channel)
workspace_channel = on_workspace(MANAGE_WORKSPACE)(channel)
workspace_test_channel = on_workspace(MANAGE_WORKSPACE)(test_channel)
workspace_delete_channel = on_workspace(MANAGE_WORKSPACE)(delete_channel)
