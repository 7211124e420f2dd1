from datetime import UTC, datetime

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.core.web.form_pages import form_page
from apps.core.web.gates import keeps_address_private, open_to_all
from apps.core.web.middleware import client_address
from apps.status_pages.copies.models import Copy
from apps.status_pages.copies.shelf import Sheet, shelved
from apps.status_pages.public.forms import AddressForm, ChoiceForm, ReceiverForm
from apps.status_pages.serving import headers_of_copies
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions import services
from apps.status_pages.subscriptions.links import asked_subscriber, subscriber_of
from apps.status_pages.subscriptions.models import Subscriber


@open_to_all
@require_safe
def page(request: HttpRequest, address: str, name: str = "") -> HttpResponse:
    """Show a file of a page: to members, or in the first seconds of a public one."""
    copy = _copy(request, address)
    sheet = shelved(bytes(copy.packed), copy.built_at).sheet(name, datetime.now(UTC))
    if sheet is None:
        raise Http404
    return _sent(sheet, is_public=copy.page.is_public)


def _copy(request: HttpRequest, address: str) -> Copy:
    """Return the copy that a visitor may read. What is off or for others is as unknown."""
    rows = Copy.objects.select_related("page__organization")
    copy = get_object_or_404(rows, page__address=address, page__is_on=True)
    if not copy.page.is_public and not request.user.has_perm(
        "organization.view", copy.page.organization
    ):
        raise Http404
    return copy


def _sent(sheet: Sheet, *, is_public: bool) -> HttpResponse:
    response = HttpResponse(sheet.body, content_type=sheet.type)
    for name, value in headers_of_copies(settings.PORTAL_URL):
        response[name] = value
    if not is_public:
        response["Cache-Control"] = "private, no-cache"
        del response["Access-Control-Allow-Origin"]
    return response


@open_to_all
@csrf_exempt
@require_POST
def subscribe(request: HttpRequest, address: str) -> HttpResponse:
    """Take an address. The form lies on copies, which have no token: the mail asks instead."""
    found = _public_page(address)
    form = AddressForm(request.POST)
    context = {"page": found, "form": form, "url": f"/status/{found.address}/"}
    if not form.is_valid():
        return form_page(request, "status_pages/public/subscribe.html", context, form)
    services.ask(
        page=found,
        email=form.cleaned_data["email"],
        component_keys=request.POST.getlist("components")[:100],
        network=services.network_digest(client_address(request)),
        now=timezone.now(),
    )
    return render(request, "status_pages/public/asked.html", context)


@open_to_all
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def subscribe_receiver(request: HttpRequest, address: str) -> HttpResponse:
    """Take the address of a webhook or of Slack, which is asked itself."""
    found = _public_page(address)
    form = ReceiverForm(request.POST if request.method == "POST" else None, page=found)
    context = {"page": found, "form": form, "url": f"/status/{found.address}/"}
    if not form.is_valid():
        return form_page(request, "status_pages/public/subscribe_receiver.html", context, form)
    services.ask_receiver(
        page=found,
        address=form.address(),
        component_keys=form.cleaned_data.get("components", ()),
        network=services.network_digest(client_address(request)),
        now=timezone.now(),
    )
    return render(request, "status_pages/public/asked_receiver.html", context)


def _public_page(address: str) -> StatusPage:
    return get_object_or_404(
        StatusPage, address=address, is_on=True, audience=StatusPage.Audience.PUBLIC
    )


@open_to_all
@never_cache
@keeps_address_private
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Begin a subscription by a click: programs that look at links of mails click nothing."""
    subscriber = _found(asked_subscriber(token))
    context = {"page": subscriber.page, "kind": subscriber.kind, "url": _address(subscriber)}
    if request.method == "POST":
        services.confirm(subscriber=subscriber, now=timezone.now())
        return render(request, "status_pages/public/confirmed.html", context)
    return render(request, "status_pages/public/confirm.html", context)


@open_to_all
@never_cache
@csrf_exempt
@keeps_address_private
@require_http_methods(["GET", "HEAD", "POST"])
def subscription(request: HttpRequest, token: str) -> HttpResponse:
    """Show what was chosen and take another choice; any other POST ends the subscription, as mail
    programs do (RFC 8058).
    """
    subscriber = subscriber_of(token)
    if request.method == "POST":
        if subscriber is not None and request.POST.get("verb") != "choose":
            services.end(subscriber=subscriber)
            return render(request, "status_pages/public/ended.html", {"page": subscriber.page})
        if subscriber is None:
            return render(request, "status_pages/public/ended.html")
    subscriber = _found(subscriber)
    form = ChoiceForm(request.POST or None, subscriber=subscriber)
    if request.method == "POST" and form.is_valid():
        keys = form.cleaned_data["components"]
        services.choose(subscriber=subscriber, component_keys=keys)
        return redirect(request.path)
    context = {"page": subscriber.page, "form": form, "url": _address(subscriber)}
    context["kind"] = subscriber.kind
    return form_page(request, "status_pages/public/subscription.html", context, form)


def _found(subscriber: Subscriber | None) -> Subscriber:
    if subscriber is None:
        raise Http404
    return subscriber


def _address(subscriber: Subscriber) -> str:
    return f"/status/{subscriber.page.address}/"
