"""The pages that search offers as actions: "Create Deployment in Analytics", as roles allow.

The first words of what is typed are matched against the labels, the rest against the names of
places. One query for each label that matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse

from apps.accounts.models import User
from apps.organizations.models import Organization, Workspace

MOST_PLACES = 5


@dataclass(frozen=True)
class PlaceAction:
    """Something to do in an organization or workspace, with the permission its page asks for."""

    verb: str
    page: str
    icon: str
    model: type[Any]
    permission: str


@dataclass(frozen=True)
class Action:
    """One line of the results: a page to open, or with `script` something app.js does."""

    label: str
    icon: str
    url: str = ""
    script: str = ""


IN_PLACES = (
    PlaceAction(
        "Create Deployment in",
        "deployments:new",
        "plus",
        Workspace,
        "workspace.deployments.create",
    ),
    PlaceAction(
        "Invite to", "organizations:add_member", "plus", Workspace, "workspace.members.manage"
    ),
    PlaceAction(
        "Invite to",
        "organizations:invite_member",
        "plus",
        Organization,
        "organization.members.manage",
    ),
    PlaceAction(
        "Create workspace in",
        "organizations:new_workspace",
        "plus",
        Organization,
        "organization.workspaces.create",
    ),
    PlaceAction(
        "Create Team in",
        "organizations:new_team",
        "plus",
        Organization,
        "organization.teams.manage",
    ),
    PlaceAction(
        "Register cluster in",
        "clusters:register",
        "plus",
        Organization,
        "organization.clusters.manage",
    ),
    PlaceAction(
        "Open audit log of",
        "organizations:audit",
        "audit",
        Organization,
        "organization.audit.view",
    ),
    PlaceAction(
        "Open API tokens of",
        "organizations:tokens",
        "terminal",
        Organization,
        "organization.tokens.manage",
    ),
    PlaceAction(
        "Open single sign-on of",
        "sso:overview",
        "sign-in",
        Organization,
        "organization.sso.manage",
    ),
    PlaceAction(
        "Open settings of", "organizations:settings", "settings", Organization, "organization.view"
    ),
    PlaceAction(
        "Open settings of",
        "organizations:workspace_settings",
        "settings",
        Workspace,
        "workspace.view",
    ),
)
OWN_PAGES = (
    ("Open Home", "home", "portal:home"),
    ("Open your profile", "user", "accounts:profile"),
    ("Open your sessions", "machine", "accounts:sessions"),
    ("Open your roles", "key", "organizations:own_roles"),
    ("Open two-factor authentication", "lock", "mfa_index"),
)
THEME = Action("Switch between light and dark theme", "theme", script="theme")


def own_actions(text: str = "") -> list[Action]:
    """List what everybody may do whose label has all words of the text. No query."""
    actions = [Action(label, icon, url=reverse(page)) for label, icon, page in OWN_PAGES]
    words = text.lower().split()
    return [one for one in [*actions, THEME] if all(word in one.label.lower() for word in words)]


def place_actions(*, user: User, text: str, recent: dict[str, list[int]]) -> list[Action]:
    """List what the person may do where, for labels that the first words of the text match.

    In each kind of place at most five, those opened last first.
    """
    found = []
    for action in IN_PLACES:
        rest = _rest(text, action.verb)
        if rest is not None:
            ids = recent.get(action.model.access_scope, [])
            found += [_in(place, action) for place in _places(user, action, rest, ids)]
    return found


def _rest(text: str, verb: str) -> list[str] | None:
    """Return the words left when those that begin a word of the verb are taken; None when the
    first one begins none.
    """
    labels, words = verb.lower().split(), text.lower().split()
    taken = 0
    while taken < len(words) and any(label.startswith(words[taken]) for label in labels):
        taken += 1
    return words[taken:] if taken else None


def _places(user: User, action: PlaceAction, rest: Sequence[str], ids: Sequence[int]) -> list[Any]:
    named = Q()
    for word in rest:
        named &= Q(name__icontains=word)
    allowed = action.model.objects.allowing(user, action.permission).filter(named)
    places = list(allowed.order_by(Lower("name"), "pk")[: MOST_PLACES * 2])
    order = {pk: place for place, pk in enumerate(ids)}
    return sorted(places, key=lambda one: order.get(one.pk, len(order)))[:MOST_PLACES]


def _in(place: Any, action: PlaceAction) -> Action:
    url = reverse(action.page, args=[place.slug])
    return Action(f"{action.verb} {place.name}", action.icon, url=url)
