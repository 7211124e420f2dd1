"""Navigation around a page: breadcrumbs, and the sidebar of the object it belongs to.

A gate leaves the object it loaded on the request; pages about no object have neither.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse

from apps.access.queries import permissions_held
from apps.access.scopes import with_ancestors
from apps.accounts.request_user import request_user
from apps.core.web.navigation import Group, Line, Navigation
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace

CHOOSER = "/?choose="
KEPT = 1_000


@dataclass(frozen=True)
class Link:
    """One line of the rail. `permission` is what its page asks for, `inside` the label beside those
    of a workspace, `also` other pages that belong to it.
    """

    label: str
    page: str
    icon: str
    permission: str
    inside: str = ""
    also: tuple[str, ...] = ()


ORGANIZATION_PLACES = (
    Link("Overview", "portal:organization", "home", "organization.view"),
    Link("Workspaces", "organizations:workspaces", "workspaces", "organization.view"),
    Link("DAGs", "dags:organization", "dags", "organization.view", inside="Organization DAGs"),
    Link(
        "Incidents",
        "observability:organization_incidents",
        "incidents",
        "organization.view",
        inside="Organization incidents",
    ),
    Link(
        "Alerts",
        "alerts:overview",
        "bell",
        "organization.view",
        inside="Organization alerts",
    ),
    Link(
        "Objectives",
        "objectives:organization",
        "good",
        "organization.view",
        inside="Organization objectives",
    ),
    Link("Status page", "status_pages:overview", "bars", "organization.view"),
    Link("Clusters", "clusters:list", "clusters", "organization.clusters.view"),
    Link("Runtimes", "releases:runtimes", "runtimes", "organization.view"),
    Link("Usage", "usage:usage", "history", "organization.usage.view"),
)
ADMINISTRATION = (
    Link(
        "Members",
        "organizations:members",
        "people",
        "organization.members.view",
        inside="Organization members",
    ),
    Link(
        "Teams",
        "organizations:teams",
        "team",
        "organization.members.view",
        inside="Organization Teams",
        also=("organizations:team_roles",),
    ),
    Link("Roles", "organizations:roles", "key", "organization.view"),
    Link(
        "Access",
        "organizations:who",
        "search",
        "organization.members.view",
        inside="Organization access",
    ),
    Link(
        "API tokens",
        "organizations:tokens",
        "terminal",
        "organization.tokens.manage",
        inside="Organization tokens",
    ),
    Link("Single sign-on", "sso:overview", "sign-in", "organization.sso.manage"),
    Link(
        "Webhooks",
        "webhooks:list",
        "hook",
        "organization.webhooks.manage",
        inside="Organization webhooks",
    ),
    Link("Audit log", "organizations:audit", "audit", "organization.audit.view"),
    Link(
        "Settings",
        "organizations:settings",
        "settings",
        "organization.view",
        inside="Organization settings",
        also=(
            "organizations:leave",
            "observability:remote_write",
            "package_indexes:list",
            "object_stores:list",
            "deployments:organization_settings",
        ),
    ),
)
WORKSPACE_PLACES = (
    Link(
        "Deployments",
        "deployments:list",
        "deployments",
        "workspace.view",
        also=("airflow_imports:list",),
    ),
    Link("DAGs", "dags:workspace", "dags", "workspace.view"),
    Link("Incidents", "observability:workspace_incidents", "incidents", "workspace.view"),
    Link("Alerts", "alerts:workspace_overview", "bell", "workspace.view"),
    Link("Environment", "environment:workspace", "lock", "workspace.environment.view"),
    Link("Objectives", "objectives:list", "good", "workspace.view"),
    Link("Members", "organizations:workspace_members", "people", "workspace.members.view"),
    Link("Teams", "organizations:workspace_teams", "team", "workspace.members.view"),
    Link("Access", "organizations:workspace_who", "search", "workspace.members.view"),
    Link("API tokens", "organizations:workspace_tokens", "terminal", "workspace.tokens.manage"),
    Link("Git repositories", "deploys:git_repositories", "branch", "workspace.git.manage"),
    Link("Webhooks", "webhooks:workspace_list", "hook", "workspace.webhooks.manage"),
    Link(
        "Settings",
        "organizations:workspace_settings",
        "settings",
        "workspace.view",
        also=("package_indexes:workspace_list", "deployments:workspace_settings"),
    ),
)


class Place(NamedTuple):
    """An organization or a workspace, and what the person holds on it."""

    name: str
    slug: str
    held: frozenset[str]


class Rail(NamedTuple):
    """The groups of lines; by the address of each line, where else its pages begin."""

    groups: tuple[Group, ...]
    also: dict[str, tuple[str, ...]]


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation` and `crumbs` to every template; a view's own context wins."""
    on = getattr(request, "scope_object", None)
    if on is None:
        return {"navigation": None, "crumbs": []}
    above: list[Any] = [one for one in reversed(with_ancestors(on)) if address_of(one)]
    place = next((one for one in above if isinstance(one, Workspace)), above[0])
    return {
        "navigation": Navigation(str(place), _marked(_rail_around(request, place), request.path)),
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


def _rail_around(request: HttpRequest, place: Organization | Workspace) -> Rail:
    workspace = place if isinstance(place, Workspace) else None
    organization = place.organization if isinstance(place, Workspace) else place
    return _rail(_place(request, organization), _place(request, workspace) if workspace else None)


def _place(request: HttpRequest, on: Organization | Workspace) -> Place:
    return Place(on.name, on.slug, permissions_held(user=request_user(request), on=on))


@lru_cache(maxsize=KEPT)
def _rail(organization: Place, workspace: Place | None) -> Rail:
    """Show the workspace, if there is one, its organization, and how that is administered. No two
    lines have the same label.

    It depends on nothing but the arguments, so it is kept: reversing forty addresses costs a page
    as much as its query.
    """
    parts = [
        (organization.name, organization, ORGANIZATION_PLACES),
        ("Administration", organization, ADMINISTRATION),
    ]
    if workspace:
        parts.insert(0, (workspace.name, workspace, WORKSPACE_PLACES))
    groups: list[Group] = []
    also: dict[str, tuple[str, ...]] = {}
    for title, place, links in parts:
        seen = [link for link in links if link.permission in place.held]
        is_inside = workspace is not None and place is organization
        lines = tuple(_line(link, place, is_inside=is_inside) for link in seen)
        also |= {line.url: _also(link, place) for line, link in zip(lines, seen, strict=True)}
        groups.append(Group(title, lines, "" if groups else CHOOSER))
    return Rail(tuple(group for group in groups if group.links), also)


def _line(link: Link, place: Place, *, is_inside: bool) -> Line:
    label = (is_inside and link.inside) or link.label
    return Line(label, reverse(link.page, args=[place.slug]), link.icon)


def _also(link: Link, place: Place) -> tuple[str, ...]:
    others = tuple(reverse(one, args=[place.slug]) for one in link.also)
    return ("/d/", *others) if link.page == "deployments:list" else others


def _marked(rail: Rail, path: str) -> tuple[Group, ...]:
    """Mark the line that a page belongs to: one that says so, or else the one whose address is the
    longest beginning of the page's own.
    """
    also = rail.also
    current = next((url for url, others in also.items() if others and path.startswith(others)), "")
    if not current:
        current = max((url for url in also if path.startswith(url)), key=len, default="")
    return tuple(
        group._replace(
            links=tuple(line._replace(is_current=line.url == current) for line in group.links)
        )
        for group in rail.groups
    )
