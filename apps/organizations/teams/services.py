"""Teams: who is in them, and which roles they hold. Adding a person to a Team assigns its roles to
them, so the actor must hold all their permissions.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import ensure_can_delegate, least_role, lock_memberships
from apps.access.grants.team_grants import grant_to_team, revoke_from_team
from apps.access.models import Role
from apps.access.queries import forget_permissions
from apps.access.scopes import Scoped, models_with_roles, team_grant_model, with_ancestors
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Organization, Team
from apps.organizations.queries import is_member


class TeamMirrored(Refused):
    """The members of a mirrored Team are managed at the identity provider."""

    def __init__(self, team: Team) -> None:
        super().__init__(f"{team} is synced from your identity provider. Change its members there.")


@transaction.atomic
def create_team(
    *,
    actor: User | None,
    organization: Organization,
    name: str,
    description: str = "",
    source: str = Team.Source.MANUAL,
) -> Team:
    """Make a Team without members. Raises Invalid when the name is taken in the organization."""
    name = _free_name(organization, name)
    team = Team.objects.create(
        organization=organization,
        name=name,
        description=description,
        source=source,
        group=Group.objects.create(name=f"team:{secrets.token_hex(16)}"),
    )
    _record("team.created", actor, team, {"name": [None, name]})
    return team


@transaction.atomic
def update_team(*, actor: User | None, team: Team, name: str, description: str) -> None:
    """Change name and description. Raises Invalid when the name is taken."""
    name = _free_name(team.organization, name, but=team)
    changes = {}
    for field, after in (("name", name), ("description", description)):
        before = getattr(team, field)
        if before != after:
            changes[field] = [before, after]
            setattr(team, field, after)
    if changes:
        team.save(update_fields=list(changes))
        _record("team.updated", actor, team, changes)


@transaction.atomic
def delete_team(*, actor: User | None, team: Team) -> None:
    """Delete a Team; its members lose its roles. Raises RightsExceeded."""
    lock_memberships(on=team.organization)
    for grant in grants_of(team=team):
        revoke_from_team(actor=actor, team=team, on=grant.content_object)
    people = [person.email for person in team.group.user_set.order_by("email")]
    _record("team.deleted", actor, team, {"name": [team.name, None], "members": [people, None]})
    group = team.group
    team.delete()
    group.delete()


@transaction.atomic
def add_to_team(*, actor: User, team: Team, user: User) -> None:
    """Add a member of the organization to a Team.

    Raises Invalid for people who are not in the organization or are in the Team already, Refused
    for mirrored Teams, RightsExceeded when the Team holds permissions that the actor lacks.
    """
    _may_change_members(actor, team)
    if not is_member(user=user, organization=team.organization):
        raise Invalid(
            f"{user.email} is not a member of {team.organization}. Invite them first.",
            field="email",
        )
    if team.group.user_set.filter(pk=user.pk).exists():
        raise Invalid(f"{user.email} is already in {team}.", field="email")
    user.groups.add(team.group)
    forget_permissions(user)
    _record("team.member_added", actor, team, {user.email: [None, "member"]})


@transaction.atomic
def remove_from_team(*, actor: User, team: Team, user: User) -> None:
    """Remove a person from a Team. Raises as `add_to_team` does; people may always leave."""
    if actor != user:
        _may_change_members(actor, team)
    _leave(actor, team, user)


@transaction.atomic
def leave_teams(*, actor: User | None, user: User, organization: Organization) -> None:
    """Remove a person from every Team of an organization. Raises RightsExceeded when a Team holds
    permissions that the actor lacks; people may always leave.
    """
    for team in Team.objects.filter(organization=organization, group__user=user):
        if actor is not None and actor != user:
            may_give_team(actor=actor, team=team)
        _leave(actor, team, user)


@transaction.atomic
def assign_team_role(
    *, actor: User, team: Team, role: Role, on: Scoped, expires_at: datetime | None = None
) -> None:
    """Assign a Team a role on an object, and the least role on the workspace above if it has none.

    Raises RightsExceeded and RoleNotApplicable.
    """
    lock_memberships(on=on)
    for above in with_ancestors(on)[1:-1]:
        held = team_grant_model(type(above)).objects.live()
        if not held.filter(group=team.group, content_object=above).exists():
            grant_to_team(actor=actor, team=team, role=least_role(on=above), on=above)
    grant_to_team(actor=actor, team=team, role=role, on=on, expires_at=expires_at)


@transaction.atomic
def set_mirrored_members(*, team: Team, users: Iterable[User]) -> None:
    """Set the members of a mirrored Team to exactly those of its group."""
    wanted = {user.pk: user for user in users}
    present = {user.pk: user for user in team.group.user_set.all()}
    for pk in present.keys() - wanted.keys():
        set_mirrored_member(team=team, user=present[pk], is_in=False)
    for pk in wanted.keys() - present.keys():
        set_mirrored_member(team=team, user=wanted[pk], is_in=True)


@transaction.atomic
def set_mirrored_member(*, team: Team, user: User, is_in: bool) -> None:
    """Add one person to a mirrored Team, or remove them; a no-op when that is already so."""
    if not is_in:
        _leave(None, team, user)
        return
    user.groups.add(team.group)
    forget_permissions(user)
    _record("team.member_added", None, team, {user.email: [None, "member"]})


def grants_of(*, team: Team, seen_by: User | None = None) -> list[Any]:
    """List the live roles of a Team, the widest first; with `seen_by`, those on what that person
    may see. Two queries per kind of object at most.
    """
    found: list[Any] = []
    for model in models_with_roles():
        grants = team_grant_model(model).objects.live().filter(group=team.group)
        if seen_by is not None:
            grants = grants.filter(content_object__in=model.objects.visible_to(seen_by))
        found += grants.select_related("content_object", "permission__role", "granted_by")
    return found


def may_give_team(*, actor: User, team: Team) -> None:
    """Raise RightsExceeded when a Team holds permissions that the actor lacks."""
    forget_permissions(actor)
    for grant in grants_of(team=team):
        ensure_can_delegate(actor=actor, role=grant.role, on=grant.content_object)


def _may_change_members(actor: User, team: Team) -> None:
    lock_memberships(on=team.organization)
    if team.source == Team.Source.MIRRORED:
        raise TeamMirrored(team)
    may_give_team(actor=actor, team=team)


def _leave(actor: User | None, team: Team, user: User) -> None:
    user.groups.remove(team.group)
    forget_permissions(user)
    _record("team.member_removed", actor, team, {user.email: ["member", None]})


def _free_name(organization: Organization, name: str, *, but: Team | None = None) -> str:
    name = " ".join(name.split())
    lock_memberships(on=organization)
    others = organization.teams.filter(name__iexact=name)
    if but is not None:
        others = others.exclude(pk=but.pk)
    if others.exists():
        raise Invalid(f"{organization} already has a Team called {name}.", field="name")
    return name


def _record(action: str, actor: User | None, team: Team, changes: dict[str, Any]) -> None:
    record_on(
        action=action,
        actor=actor,
        on=team.organization,
        changes={f"Team {team.name}, {field}": change for field, change in changes.items()},
    )
