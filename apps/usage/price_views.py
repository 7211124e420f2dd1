from datetime import UTC

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.core.web.gates import operator_only
from apps.usage import services
from apps.usage.forms import PriceForm
from apps.usage.models import Price
from apps.usage.prices import prices_entered


@operator_only
@require_http_methods(["GET", "HEAD", "POST"])
def prices(request: HttpRequest) -> HttpResponse:
    entered = list(prices_entered())
    today = timezone.now().astimezone(UTC).date()
    currency = entered[0].currency if entered else settings.CURRENCY
    form = PriceForm(
        request.POST if request.method == "POST" else None,
        initial={"valid_from": today, "currency": currency},
    )
    if is_submitted(request, form):
        with errors_shown_in(form):
            price = services.set_price(actor=request_user(request), **form.cleaned_data)
            messages.success(request, f"Price from {price.valid_from} set.")
            return redirect("usage:prices")
    now = next((one for one in entered if one.valid_from <= today), None)
    context = {
        "form": form,
        "prices": entered,
        "now": now or (entered[-1] if entered else None),
        "today": today,
        "fallback": settings.WORKER_HOUR_PRICE,
        "fallback_currency": settings.CURRENCY,
    }
    return form_page(request, "usage/prices.html", context, form)


@operator_only
@require_POST
def remove_price(request: HttpRequest, price_id: int) -> HttpResponse:
    price = get_object_or_404(Price, pk=price_id)
    services.remove_price(actor=request_user(request), price=price)
    messages.success(request, f"Price from {price.valid_from} removed.")
    return redirect("usage:prices")
