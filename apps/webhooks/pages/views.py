from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.alerts.deliveries.sending import SendFailed
from apps.alerts.pages.parts import PAGE_SIZE, on_organization, on_workspace, search_in
from apps.alerts.places import Place
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.deliveries.services import resend, send_test
from apps.webhooks.hooks import services
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.queries import webhooks_of
from apps.webhooks.pages.forms import WebhookForm
from apps.webhooks.pages.parts import (
    MANAGE_ORGANIZATION,
    MANAGE_WORKSPACE,
    address,
    delivery_row,
    topics_in_words,
)

STATES = dict(WebhookDelivery.State.choices)


def _webhooks(request: HttpRequest, place: Place) -> HttpResponse:
    search = search_in(request)
    page = Paginator(webhooks_of(place, search), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [
        {
            "webhook": one,
            "topics": topics_in_words(one.topics),
            "url": address(place, "webhook", one.pk),
            "test_url": address(place, "test", one.pk),
        }
        for one in page.object_list
    ]
    context = {
        "place": place,
        "page": page,
        "search": search,
        "rows": rows,
        "new_url": address(place, "new"),
    }
    return render(request, "webhooks/webhooks.html", context)


def _new(request: HttpRequest, place: Place) -> HttpResponse:
    form = WebhookForm(request.POST if request.method == "POST" else None, webhook=None)
    if is_submitted(request, form):
        with errors_shown_in(form):
            made, secret = services.create_webhook(
                actor=request_user(request), place=place, data=form.data_entered()
            )
            return _show_secret(request, place, made, secret)
    context = {"place": place, "form": form, "list_url": address(place, "list")}
    return form_page(request, "webhooks/new_webhook.html", context, form)


def _show_secret(request: HttpRequest, place: Place, webhook: Webhook, secret: str) -> HttpResponse:
    """Show a new secret, in this response alone."""
    context = {
        "webhook": webhook,
        "place": place,
        "secret": secret,
        "url": address(place, "webhook", webhook.pk),
    }
    return render(request, "webhooks/secret.html", context)


def _webhook(request: HttpRequest, place: Place, webhook_id: int) -> HttpResponse:
    webhook, now = _found(place, webhook_id), timezone.now()
    form = WebhookForm(request.POST if request.method == "POST" else None, webhook=webhook)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.update_webhook(
                actor=request_user(request), webhook=webhook, data=form.data_entered()
            )
            messages.success(request, f"Webhook {webhook.name} saved.")
            return redirect(address(place, "webhook", webhook.pk))
    context = {
        "place": place,
        "webhook": webhook,
        "form": form,
        "has_former": webhook.has_former_secret(now),
        "list_url": address(place, "list"),
        "urls": {
            name: address(place, name, webhook.pk)
            for name in ("test", "rotate", "end_secret", "delete")
        },
        **_log(request, place, webhook),
    }
    return form_page(request, "webhooks/webhook.html", context, form)


def _log(request: HttpRequest, place: Place, webhook: Webhook) -> dict[str, Any]:
    state = request.GET.get("state", "")
    rows = WebhookDelivery.objects.filter(webhook=webhook).select_related("resent_by")
    search = search_in(request)
    if state in STATES:
        rows = rows.filter(state=state)
    if search:
        rows = rows.filter(Q(type__icontains=search) | Q(event=search))
    page = Paginator(rows.order_by("-sequence"), PAGE_SIZE).get_page(request.GET.get("page"))
    return {
        "page": page,
        "rows": [delivery_row(one, place) for one in page.object_list],
        "state": state if state in STATES else "",
        "search": search,
        "states": list(STATES.items()),
    }


def _test(request: HttpRequest, place: Place, webhook_id: int) -> HttpResponse:
    """Send a test event and show the answer."""
    webhook = _found(place, webhook_id)
    try:
        answer = send_test(actor=request_user(request), webhook=webhook, now=timezone.now())
    except SendFailed as error:
        messages.error(request, f"The test did not reach {webhook.name}. {error.message}")
    else:
        messages.success(request, f"The test was delivered to {webhook.name}: {answer}")
    return redirect(address(place, "webhook", webhook.pk))


def _rotate(request: HttpRequest, place: Place, webhook_id: int) -> HttpResponse:
    webhook = _found(place, webhook_id)
    with errors_as_messages(request):
        secret = services.rotate_secret(
            actor=request_user(request), webhook=webhook, now=timezone.now()
        )
        return _show_secret(request, place, webhook, secret)
    return redirect(address(place, "webhook", webhook.pk))


def _end_secret(request: HttpRequest, place: Place, webhook_id: int) -> HttpResponse:
    webhook = _found(place, webhook_id)
    with errors_as_messages(request):
        services.end_former_secret(actor=request_user(request), webhook=webhook)
        messages.success(request, "Only the present secret signs now.")
    return redirect(address(place, "webhook", webhook.pk))


def _delete(request: HttpRequest, place: Place, webhook_id: int) -> HttpResponse:
    webhook = _found(place, webhook_id)
    if request.method == "POST":
        services.delete_webhook(actor=request_user(request), webhook=webhook)
        messages.success(request, f"Webhook {webhook.name} deleted.")
        return redirect(address(place, "list"))
    context = {
        "place": place,
        "webhook": webhook,
        "back_url": address(place, "webhook", webhook.pk),
    }
    return render(request, "webhooks/delete.html", context)


def _resend(request: HttpRequest, place: Place, webhook_id: int, number: int) -> HttpResponse:
    webhook = _found(place, webhook_id)
    rows = WebhookDelivery.objects.filter(webhook=webhook)
    delivery = get_object_or_404(rows, sequence=number)
    with errors_as_messages(request):
        resend(actor=request_user(request), delivery=delivery, now=timezone.now())
        messages.success(request, f"Event {delivery.event} is sent to {webhook.name} again.")
    return redirect(address(place, "webhook", webhook.pk))


def _found(place: Place, webhook_id: int) -> Webhook:
    return get_object_or_404(webhooks_of(place), pk=webhook_id)


webhooks = require_safe(_webhooks)
new = never_cache(require_http_methods(["GET", "HEAD", "POST"])(_new))
webhook = require_http_methods(["GET", "HEAD", "POST"])(_webhook)
test = require_POST(_test)
rotate = never_cache(require_POST(_rotate))
end_secret = require_POST(_end_secret)
delete = require_http_methods(["GET", "HEAD", "POST"])(_delete)
resend_delivery = require_POST(_resend)

organization_webhooks = on_organization(MANAGE_ORGANIZATION)(webhooks)
organization_new = on_organization(MANAGE_ORGANIZATION)(new)
organization_webhook = on_organization(MANAGE_ORGANIZATION)(webhook)
organization_test = on_organization(MANAGE_ORGANIZATION)(test)
organization_rotate = on_organization(MANAGE_ORGANIZATION)(fresh_sign_in(rotate))
organization_end_secret = on_organization(MANAGE_ORGANIZATION)(end_secret)
organization_delete = on_organization(MANAGE_ORGANIZATION)(delete)
organization_resend = on_organization(MANAGE_ORGANIZATION)(resend_delivery)

workspace_webhooks = on_workspace(MANAGE_WORKSPACE)(webhooks)
workspace_new = on_workspace(MANAGE_WORKSPACE)(new)
workspace_webhook = on_workspace(MANAGE_WORKSPACE)(webhook)
workspace_test = on_workspace(MANAGE_WORKSPACE)(test)
workspace_rotate = on_workspace(MANAGE_WORKSPACE)(fresh_sign_in(rotate))
workspace_end_secret = on_workspace(MANAGE_WORKSPACE)(end_secret)
workspace_delete = on_workspace(MANAGE_WORKSPACE)(delete)
workspace_resend = on_workspace(MANAGE_WORKSPACE)(resend_delivery)
