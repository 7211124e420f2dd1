"""Groups at identity providers and the Teams that mirror them.

A sign-in reports the current groups of a person. With a mapped group the person is a member of its
Team, whatever the connection; without it the membership ends with that sign-in.

Whoever controls the identity provider decides who comes with a group. So a Team that may do more
than the person who answers for the connection takes no one in by it, until an owner approves it.
"""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.access.grants.services import RightsExceeded, lock_memberships
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.models import Team
from apps.organizations.queries import members_of
from apps.organizations.teams.services import (
    grants_of,
    may_give_team,
    set_mirrored_member,
    set_mirrored_members,
)
from apps.sso.models import GroupMapping, GroupMember, SSOConnection


@transaction.atomic
def map_group(*, actor: User, connection: SSOConnection, group: str, team: Team) -> GroupMapping:
    """Let a Team mirror a group. Members not seen in the group are removed.

    Raises Invalid, Refused for Teams that SCIM keeps and for people who may not manage Teams, and
    RightsExceeded when the Team holds permissions that the actor lacks.
    """
    lock_memberships(on=connection.organization)
    group = " ".join(group.split())
    if team.organization_id != connection.organization_id:
        raise Invalid("This Team belongs to another organization.", field="team")
    if hasattr(team, "scim_record"):
        raise Refused(f"{team} is kept by provisioning. Change who is in it there.")
    if connection.group_mappings.filter(group=group, team=team).exists():
        raise Invalid(f"{group} is mapped to {team} already.", field="group")
    may_give_team(actor=actor, team=team)
    if not actor.has_perm("organization.teams.manage", connection.organization):
        raise Refused("You may not manage Teams: ask someone who may to map the group.")
    if team.source != Team.Source.MIRRORED:
        team.source = Team.Source.MIRRORED
        team.save(update_fields=["source"])
    mapping = GroupMapping.objects.create(connection=connection, group=group, team=team)
    _agree(team)
    _record("group.mapped", actor, mapping, [None, team.name])
    return mapping


@transaction.atomic
def unmap_group(*, actor: User, mapping: GroupMapping) -> None:
    """Let a Team no longer mirror a group. Without another group it becomes an ordinary Team and
    keeps its members.
    """
    lock_memberships(on=mapping.connection.organization)
    team = mapping.team
    _record("group.unmapped", actor, mapping, [team.name, None])
    mapping.delete()
    if team.group_mappings.exists():
        _agree(team)
        return
    team.source = Team.Source.MANUAL
    team.save(update_fields=["source"])


def follow_groups(*, connection: SSOConnection, user: User, groups: Iterable[str]) -> None:
    """Store the groups of a sign-in, and update the person's membership of the mapped Teams.

    The caller holds the organization's lock. Other members are not read: there may be thousands.
    """
    came_with = set(groups)
    mappings = list(connection.group_mappings.select_related("team__group", "team__organization"))
    seen = [mapping for mapping in mappings if mapping.group in came_with]
    GroupMapping.objects.filter(pk__in=[one.pk for one in seen]).update(seen_at=timezone.now())
    GroupMember.objects.filter(user=user, mapping__in=mappings).exclude(mapping__in=seen).delete()
    GroupMember.objects.bulk_create(
        [GroupMember(mapping=mapping, user=user) for mapping in seen], ignore_conflicts=True
    )
    teams = {mapping.team.pk: mapping.team for mapping in mappings}
    came = GroupMember.objects.filter(user=user, mapping__team__in=teams)
    wanted = set(came.values_list("mapping__team_id", flat=True))
    present = set(user.groups.filter(team__in=teams).values_list("team", flat=True))
    for pk in wanted ^ present:
        if pk in present or _may_join(teams[pk], came):
            set_mirrored_member(team=teams[pk], user=user, is_in=pk in wanted)


def is_team_beyond(*, connection: SSOConnection, team: Team) -> bool:
    """Return whether a Team may do more than the connection gives by itself."""
    if connection.approved_at is not None:
        return False
    if connection.configured_by is None:
        return bool(grants_of(team=team))
    try:
        may_give_team(actor=connection.configured_by, team=team)
    except RightsExceeded:
        return True
    return False


def _may_join(team: Team, came: QuerySet[GroupMember]) -> bool:
    """Return whether one of the connections that a person came with a group by gives the Team."""
    found = came.filter(mapping__team=team).select_related("mapping__connection__configured_by")
    connections = {one.mapping.connection for one in found}
    return any(not is_team_beyond(connection=one, team=team) for one in connections)


def _agree(team: Team) -> None:
    seen = GroupMember.objects.filter(mapping__team=team).values("user_id")
    # Those that were removed since come in again by a sign-in with the group alone.
    users = members_of(organization=team.organization).filter(pk__in=seen)
    set_mirrored_members(team=team, users=users)


def _record(action: str, actor: User, mapping: GroupMapping, change: list[str | None]) -> None:
    changes = {f"{mapping.connection}, group {mapping.group}": change}
    record_on(action=action, actor=actor, on=mapping.connection.organization, changes=changes)
