"""Provisioned groups: the Teams that mirror them."""

import uuid
from typing import Any

from scim2_models import Resource

from apps.accounts.models import User
from apps.organizations.models import Team
from apps.organizations.teams.services import (
    create_team,
    delete_team,
    set_mirrored_members,
    update_team,
)
from apps.sso.models import ScimRecord

LONGEST_NAME = 80


def follow(record: ScimRecord, resource: Resource[Any]) -> None:
    """Update the Team from the group: its name and members."""
    name = _free_name(record, str(getattr(resource, "display_name", None) or "Group"))
    team = record.team
    if team is None:
        team = create_team(
            actor=None, organization=record.organization, name=name, source=Team.Source.MIRRORED
        )
        record.team = team
        record.save(update_fields=["team"])
    elif team.name != name:
        update_team(actor=None, team=team, name=name, description=team.description)
    set_mirrored_members(team=team, users=_members(record, resource))


def remove(record: ScimRecord) -> None:
    """Delete the Team behind a record, with the roles it held."""
    if record.team is not None:
        delete_team(actor=None, team=record.team)


def _members(record: ScimRecord, resource: Resource[Any]) -> list[User]:
    members = getattr(resource, "members", None) or []
    ids = [found for one in members if (found := _id(one.value))]
    records = ScimRecord.objects.filter(
        organization=record.organization, kind="User", pk__in=ids, user__isnull=False
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
