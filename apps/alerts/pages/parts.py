"""What the pages of both kinds of places share."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.access.scoped import scoped
from apps.alerts.places import Place
from apps.core.web.gates import View
from apps.organizations.models import Organization, Workspace

MANAGE_ORGANIZATION = "organization.alerts.manage"
MANAGE_WORKSPACE = "workspace.alerts.manage"
PAGE_SIZE, LONGEST_SEARCH = 25, 100


def on_organization(permission: str) -> Callable[[View], View]:
    """Gate a page of a place for organizations."""
    return scoped(Organization, permission, by="slug")


def on_workspace(permission: str) -> Callable[[View], View]:
    """Gate a page of a place for workspaces."""
    return scoped(Workspace, permission, by="slug")


def permission_in(place: Place) -> str:
    """Return the permission that changes rules, channels and silences of a place."""
    return MANAGE_WORKSPACE if isinstance(place, Workspace) else MANAGE_ORGANIZATION


def search_in(request: HttpRequest) -> str:
    """Return what a list is narrowed by, as the address has it."""
    return request.GET.get("q", "").strip()[:LONGEST_SEARCH]


def address(place: Place, name: str, *arguments: Any) -> str:
    """Return the address of a page of a place."""
    prefix = "workspace_" if isinstance(place, Workspace) else ""
    return reverse(f"alerts:{prefix}{name}", args=[place.slug, *arguments])


def common(request: HttpRequest, place: Place, current: str) -> dict[str, Any]:
    """Return what every page of a place shows: its tabs, and what a person may do."""
    can_manage = request.user.has_perm(permission_in(place), place)
    tabs = [("overview", "Alerts")]
    if can_manage:
        tabs += [
            ("channels", "Channels"),
            ("silences", "Silences"),
            ("deliveries", "Delivery log"),
        ]
    return {
        "place": place,
        "can_manage": can_manage,
        "urls": {name: address(place, name) for name in ("overview", *dict(tabs), "new_rule")},
        "tabs": [
            {"label": label, "url": address(place, name), "is_current": name == current}
            for name, label in tabs
        ],
    }
