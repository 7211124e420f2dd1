"""What the console shows around a page: the way to it, and the rail of the place it belongs to.

A gate leaves the object it loaded on the request; pages about no object have neither.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.access.queries import with_all_above
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace

Group = dict[str, Any]


@dataclass(frozen=True)
class Link:
    """One line of the rail. `permission` is what its page asks for."""

    label: str
    page: str
    icon: str
    permission: str


ORGANIZATION_PLACES = (
    Link("Overview", "portal:organization", "home", "organization.view"),
    Link("Workspaces", "organizations:workspaces", "workspaces", "organization.view"),
    Link("Members", "organizations:members", "people", "organization.members.view"),
    Link("Roles", "organizations:roles", "key", "organization.view"),
)
ORGANIZATION_RECORD = (
    Link("Audit log", "organizations:audit", "audit", "organization.audit.view"),
    Link("Settings", "organizations:settings", "settings", "organization.view"),
)
WORKSPACE_PLACES = (
    Link("Deployments", "deployments:list", "deployments", "workspace.view"),
    Link("Members", "organizations:workspace_members", "people", "workspace.members.view"),
    Link("Settings", "organizations:workspace_settings", "settings", "workspace.view"),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation` and `crumbs` to every template; a view's own context wins."""
    on = getattr(request, "scope_object", None)
    if on is None:
        return {"navigation": None, "crumbs": []}
    above = [one for one in reversed(with_all_above(on)) if address_of(one)]
    place = next((one for one in above if isinstance(one, Workspace)), above[0])
    return {
        "navigation": {"title": str(place), "groups": _groups(request, place)},
        "crumbs": [{"label": str(one), "url": address_of(one)} for one in above],
    }


def address_of(obj: Any) -> str:
    """Return the page of an organization, workspace or Deployment; empty for anything else."""
    if isinstance(obj, Organization):
        return reverse("portal:organization", args=[obj.slug])
    if isinstance(obj, Workspace):
        return reverse("portal:workspace", args=[obj.slug])
    if isinstance(obj, Deployment):
        return reverse("deployments:overview", args=[obj.ref])
    return ""


def _groups(request: HttpRequest, place: Organization | Workspace) -> list[Group]:
    if isinstance(place, Organization):
        return [
            _group(request, place.name, place, ORGANIZATION_PLACES),
            _group(request, "Record", place, ORGANIZATION_RECORD),
        ]
    organization = place.organization
    return [
        _group(request, place.name, place, WORKSPACE_PLACES),
        _group(request, organization.name, organization, ORGANIZATION_PLACES),
    ]


def _group(
    request: HttpRequest, title: str, place: Organization | Workspace, links: tuple[Link, ...]
) -> Group:
    shown = [link for link in links if request.user.has_perm(link.permission, place)]
    urls = {link: reverse(link.page, args=[place.slug]) for link in shown}
    current = _current(request, urls)
    return {
        "title": title,
        "links": [
            {
                "label": link.label,
                "url": urls[link],
                "icon": link.icon,
                "count": "",
                "tone": "",
                "is_current": link == current,
            }
            for link in shown
        ],
    }


def _current(request: HttpRequest, urls: dict[Link, str]) -> Link | None:
    if request.path.startswith("/d/"):
        return next((link for link in urls if link.page == "deployments:list"), None)
    below = [link for link, url in urls.items() if request.path.startswith(url)]
    return max(below, key=lambda link: len(urls[link]), default=None)
