from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.organizations.models import Organization
from apps.organizations.workspaces.queries import workspaces_of
from apps.portal.queries import people_in
from apps.portal.views.overview import overview
from apps.usage.prices import price_list
from apps.usage.queries import months_of, slept


@scoped(Organization, "organization.view", by="slug")
@require_safe
def organization(request: HttpRequest, organization: Organization) -> HttpResponse:
    workspaces = workspaces_of(organization=organization, user=request_user(request))
    context = overview(request, workspaces=workspaces, organization=organization)
    context |= {
        "organization": organization,
        "people_count": people_in(organization=organization),
        "denial": denial_for(
            user=request.user, permission="organization.workspaces.create", on=organization
        ),
    }
    context |= _usage(request, organization)
    return render(request, "portal/organization.html", context)


def _usage(request: HttpRequest, organization: Organization) -> dict[str, Any]:
    """Return the usage of this month, its currency and the hours hibernated, to those who may see
    it.
    """
    if not request.user.has_perm("organization.usage.view", organization):
        return {"month": None}
    prices = price_list()
    months = months_of(organization=organization, most=1, prices=prices)
    month = next(iter(months), None)
    return {
        "month": month,
        "currency": prices.currency if prices else "",
        "slept": slept(organization, month[0]) if month else None,
    }
