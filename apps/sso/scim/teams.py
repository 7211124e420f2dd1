"""Provisioned groups: the Teams that mirror them."""

import uuid
from typing import Any

from scim2_models import ForbiddenException, Resource

from apps.access.grants.services import RightsExceeded
from apps.accounts.models import User
from apps.organizations.models import Team
from apps.organizations.queries import members_of
from apps.organizations.teams.services import (
    create_team,
    delete_team,
    grants_of,
    may_give_team,
    set_mirrored_members,
    update_team,
)
from apps.sso.models import ScimRecord

LONGEST_NAME = 80
MANAGE_TEAMS = "organization.teams.manage"
REMEDY_OF_TEAMS = "A person who may has to make a new token."
REMEDY = "A person who holds them has to make a new token."


def follow(record: ScimRecord, resource: Resource[Any], *, maker: User | None) -> None:
    """Update the Team from the group: its name and members. `maker` is whoever made the token.

    Raises ForbiddenException when the maker may not manage Teams, or members would change of one
    that holds permissions which the maker lacks.
    """
    name = _free_name(record, str(getattr(resource, "display_name", None) or "Group"))
    team = record.team
    if team is None:
        _ensure_manages_teams(record, maker)
        team = create_team(
            actor=None, organization=record.organization, name=name, source=Team.Source.MIRRORED
        )
        record.team = team
        record.save(update_fields=["team"])
    elif team.name != name:
        _ensure_manages_teams(record, maker)
        update_team(actor=None, team=team, name=name, description=team.description)
    wanted = _members(record, resource)
    if {one.pk for one in wanted} != set(team.group.user_set.values_list("pk", flat=True)):
        _ensure_manages_teams(record, maker)
        _check_reach(team, maker)
        set_mirrored_members(team=team, users=wanted)


def remove(record: ScimRecord, *, maker: User | None) -> None:
    """Delete the Team behind a record, with the roles it held. Raises as `follow` does."""
    if record.team is not None:
        _ensure_manages_teams(record, maker)
        _check_reach(record.team, maker)
        delete_team(actor=None, team=record.team)


def _ensure_manages_teams(record: ScimRecord, maker: User | None) -> None:
    if maker is None or not maker.has_perm(MANAGE_TEAMS, record.organization):
        made_by = maker.email if maker else "whoever made this token"
        raise ForbiddenException(detail=f"{made_by} may not manage Teams. {REMEDY_OF_TEAMS}")


def _check_reach(team: Team, maker: User | None) -> None:
    """Members of a Team get its roles, so the maker of the token must be able to assign those."""
    if maker is None:
        if grants_of(team=team):
            raise ForbiddenException(
                detail=f"{team} has permissions, and whoever made this token has left. {REMEDY}"
            )
        return
    try:
        may_give_team(actor=maker, team=team)
    except RightsExceeded:
        raise ForbiddenException(
            detail=f"{team} has permissions that {maker.email}, who made this token, lacks. "
            + REMEDY
        ) from None


def _members(record: ScimRecord, resource: Resource[Any]) -> list[User]:
    members = getattr(resource, "members", None) or []
    ids = [found for one in members if (found := _id(one.value))]
    records = ScimRecord.objects.filter(
        organization=record.organization,
        kind="User",
        pk__in=ids,
        # A person who was removed here stays out, whatever else changes in the group.
        user__in=members_of(organization=record.organization),
    )
    return [one.user for one in records.select_related("user") if one.user]


def _id(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return None


def _free_name(record: ScimRecord, wanted: str) -> str:
    """Return the group's name, with a number where another Team has it already."""
    wanted = " ".join(wanted.split())[:LONGEST_NAME] or "Group"
    others = Team.objects.filter(organization=record.organization)
    if record.team_id:
        others = others.exclude(pk=record.team_id)
    taken = {name.lower() for name in others.values_list("name", flat=True)}
    name, number = wanted, 2
    while name.lower() in taken:
        suffix = f" ({number})"
        name, number = wanted[: LONGEST_NAME - len(suffix)] + suffix, number + 1
    return name
