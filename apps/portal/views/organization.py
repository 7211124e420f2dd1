from datetime import date

from django.conf import settings
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
from apps.usage.queries import Usage, months_of


@scoped(Organization, "organization.view", by="slug")
@require_safe
def organization(request: HttpRequest, organization: Organization) -> HttpResponse:
    workspaces = workspaces_of(organization=organization, user=request_user(request))
    context = overview(request, workspaces=workspaces, organization=organization)
    context |= {
        "organization": organization,
        "month": _month(request, organization),
        "currency": settings.CURRENCY,
        "people_count": people_in(organization=organization),
        "denial": denial_for(
            user=request.user, permission="organization.workspaces.create", on=organization
        ),
    }
    return render(request, "portal/organization.html", context)


def _month(request: HttpRequest, organization: Organization) -> tuple[date, Usage] | None:
    """Return the usage of this month to those who may see it."""
    if not request.user.has_perm("organization.usage.view", organization):
        return None
    return next(iter(months_of(organization=organization, most=1)), None)
