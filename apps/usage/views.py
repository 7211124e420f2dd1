from datetime import date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.organizations.models import Organization
from apps.usage.csv_file import csv_of
from apps.usage.prices import price_list
from apps.usage.queries import Usage, by_workspace, data_through, months_of, slept, usage_in

SEE = "organization.usage.view"


@scoped(Organization, SEE, by="slug")
@require_safe
def usage(request: HttpRequest, organization: Organization) -> HttpResponse:
    prices = price_list()
    months = months_of(organization=organization, prices=prices)
    chosen = _chosen(request, [month for month, _ in months])
    found = usage_in(organization=organization, months=[chosen], prices=prices) if chosen else []
    context = {
        "organization": organization,
        "months": _shown(months),
        "choices": [(f"{month:%Y-%m}", f"{month:%B %Y}") for month, _ in months],
        "month": chosen,
        "month_key": f"{chosen:%Y-%m}" if chosen else "",
        "total": dict(months).get(chosen, Usage()) if chosen else Usage(),
        "workspaces": by_workspace(found),
        "through": data_through(organization=organization),
        "currency": prices.currency if prices else "",
        "price": prices,
        "slept": slept(organization, chosen) if chosen else None,
        "month_prices": prices.in_month(chosen) if prices and chosen else [],
    }
    return render(request, "usage/usage.html", context)


@scoped(Organization, SEE, by="slug")
@require_safe
def download(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Send the chosen month, or all that the page shows."""
    prices = price_list()
    months = [month for month, _ in months_of(organization=organization, prices=None)]
    wanted = _named(request, months)
    chosen = [wanted] if wanted else months
    found = usage_in(organization=organization, months=chosen, prices=prices)
    name = f"{organization.slug}-usage{f'-{wanted:%Y-%m}' if wanted else ''}.csv"
    return HttpResponse(
        csv_of(found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _shown(months: list[tuple[date, Usage]]) -> list[dict[str, Any]]:
    return [{"month": month, "key": f"{month:%Y-%m}", "usage": used} for month, used in months]


def _chosen(request: HttpRequest, months: list[date]) -> date | None:
    return _named(request, months) or (months[0] if months else None)


def _named(request: HttpRequest, months: list[date]) -> date | None:
    """Return the month in the address, if there is one of which something is known."""
    try:
        named = datetime.strptime(request.GET.get("month", ""), "%Y-%m").date()  # noqa: DTZ007
    except ValueError:
        return None
    return named if named in months else None
