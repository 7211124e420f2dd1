"""Navigation around a page: breadcrumbs, and the sidebar of the object it belongs to.

A gate leaves the object it loaded on the request; pages about no object have neither.
"""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.access.scopes import with_ancestors
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace

Group = dict[str, Any]
CHOOSER = "/?choose="


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


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Offer `navigation` and `crumbs` to every template; a view's own context wins."""
    on = getattr(request, "scope_object", None)
    if on is None:
        return {"navigation": None, "crumbs": []}
    above: list[Any] = [one for one in reversed(with_ancestors(on)) if address_of(one)]
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
    """Show the workspace, if there is one, its organization, and how that is administered. No two
    lines have the same label.
    """
    groups = []
    organization = place
    if isinstance(place, Workspace):
        organization = place.organization
        groups.append(_group(request, place.name, place, WORKSPACE_PLACES))
    is_inside = organization != place
    groups += [
        _group(request, organization.name, organization, ORGANIZATION_PLACES, is_inside=is_inside),
        _group(request, "Administration", organization, ADMINISTRATION, is_inside=is_inside),
    ]
    groups[0]["switch_url"] = CHOOSER
    shown = [group for group in groups if group["links"]]
    _mark_current(request.path, shown)
    return shown


def _group(
    request: HttpRequest,
    title: str,
    place: Organization | Workspace,
    links: tuple[Link, ...],
    *,
    is_inside: bool = False,
) -> Group:
    return {
        "title": title,
        "links": [
            _line(
                (is_inside and link.inside) or link.label,
                reverse(link.page, args=[place.slug]),
                link.icon,
                is_current=_belongs(request.path, link, place),
            )
            for link in links
            if request.user.has_perm(link.permission, place)
        ],
    }


def _belongs(path: str, link: Link, place: Organization | Workspace) -> bool:
    if link.page == "deployments:list":
        return path.startswith("/d/")
    return any(path.startswith(reverse(one, args=[place.slug])) for one in link.also)


def _line(label: str, url: str, icon: str, *, is_current: bool = False) -> dict[str, Any]:
    line = {"label": label, "url": url, "icon": icon, "count": "", "tone": ""}
    return {**line, "is_current": is_current}


def _mark_current(path: str, groups: list[Group]) -> None:
    """Mark the line whose address is the longest beginning of the page's own."""
    lines = [line for group in groups for line in group["links"]]
    if any(line["is_current"] for line in lines):
        return
    around = [line for line in lines if path.startswith(line["url"])]
    if around:
        max(around, key=lambda line: len(line["url"]))["is_current"] = True
