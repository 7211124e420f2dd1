"""What these pages share."""

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse

from apps.organizations.models import Organization
from apps.status_pages.setup.addresses import page_url
from apps.status_pages.setup.models import StatusPage

SEE, MANAGE = "organization.view", "organization.status_page.manage"
TABS = (
    ("overview", "Status page"),
    ("components", "Components"),
    ("subscribers", "Subscribers"),
    ("settings", "Settings"),
)


def page_of(organization: Organization) -> StatusPage:
    """Return the page of an organization, or answer 404 while it has none."""
    return get_object_or_404(
        StatusPage.objects.select_related("organization"), organization=organization
    )


def common(
    request: HttpRequest, organization: Organization, page: StatusPage | None, current: str
) -> dict[str, Any]:
    """Return what every page shows: its tabs, and whether the person may manage it."""
    can_manage = request.user.has_perm(MANAGE, organization)
    tabs = TABS if can_manage and page is not None else ()
    return {
        "organization": organization,
        "page": page,
        "page_url": page_url(page) if page is not None else "",
        "can_manage": can_manage,
        "urls": {name: address(organization, name) for name, _ in TABS},
        "tabs": [
            {"label": label, "url": address(organization, name), "is_current": name == current}
            for name, label in tabs
        ],
    }


def address(organization: Organization, name: str, *arguments: Any) -> str:
    """Return the address of a page of this app."""
    return reverse(f"status_pages:{name}", args=[organization.slug, *arguments])
