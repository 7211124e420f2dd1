"""Teams, their members and roles."""

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from ninja import Path, Query, Router
from pydantic import Field

from apps.access.grants.team_grants import revoke_from_team
from apps.access.models import Role
from apps.access.scoped import require
from apps.access.scopes import Scoped, team_grant_model
from apps.accounts.models import User
from apps.api.people.holders import HeldRoles, carry_out, held_by_teams, roles_shape
from apps.api.people.users import AtUser, people_seen
from apps.api.wire.errors import NotHere, or_404
from apps.api.wire.finding import place_of
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import NO_ONE, InOrganization, Listing, Name, Profile, Shape
from apps.core.public_ids import number_of, numbers_of, public_id
from apps.organizations.models import Team
from apps.organizations.teams.queries import people_in
from apps.organizations.teams.services import (
    add_to_team,
    assign_team_role,
    create_team,
    delete_team,
    remove_from_team,
    update_team,
)

router = Router(by_alias=True, exclude_none=True, tags=["Team"])
SEE, MANAGE = "organization.members.view", "organization.teams.manage"


class AtTeam(InOrganization):
    team_id: str


class AtMember(AtTeam):
    member_id: str


class TeamShape(HeldRoles):
    id: str
    name: str
    description: str
    organization_id: str
    # Teams need no role on the organization here; clients expect one.
    organization_role: str = "ORGANIZATION_MEMBER"
    is_idp_managed: bool
    roles_count: int
    created_at: datetime
    updated_at: datetime
    created_by: Profile = NO_ONE
    updated_by: Profile = NO_ONE


class TeamList(Listing):
    teams: list[TeamShape]


class TeamQuery(Paging):
    names: list[str] = []
    workspace_id: str = ""
    deployment_id: str = ""


class TeamBody(Shape):
    name: Name = Field(max_length=80)
    description: str = Field(default="", max_length=250)


class NewTeam(TeamBody):
    member_ids: list[str] | None = None
    organization_role: str | None = None


class MemberShape(Shape):
    user_id: str
    username: str
    full_name: str
    avatar_url: str = ""
    created_at: datetime


class MemberList(Listing):
    team_members: list[MemberShape]


class NewMembers(Shape):
    member_ids: list[str] = Field(min_length=1, max_length=100)


@router.get(
    "/organizations/{organizationId}/teams",
    auth=in_organization(),
    response=TeamList,
    operation_id="ListTeams",
    summary="List Teams, of the organization, a workspace or a Deployment",
)
def list_teams(request: Call, at: Path[InOrganization], asked: Query[TeamQuery]) -> Any:
    place = place_of(request, asked.workspace_id, asked.deployment_id)
    require(
        user=request.caller.user, permission=f"{type(place).access_scope}.members.view", on=place
    )
    found = request.organization.teams.all()
    if place != request.organization:
        grants = team_grant_model(type(place)).objects.live().filter(content_object=place)
        found = found.filter(group__in=grants.values("group"))
    if asked.names:
        found = found.filter(name__in=asked.names)
    return _page(request, found, asked)


@router.get(
    "/organizations/{organizationId}/users/{userId}/teams",
    auth=in_organization("organization.members.view"),
    response=TeamList,
    operation_id="ListUserTeams",
    summary="List the Teams of a person",
)
def list_teams_of_user(request: Call, at: Path[AtUser], asked: Query[Paging]) -> Any:
    person = or_404(people_seen(request).filter(pk=number_of("user", at.user_id)).first())
    return _page(request, request.organization.teams.filter(group__user=person), asked)


@router.post(
    "/organizations/{organizationId}/teams",
    auth=in_organization(MANAGE),
    response=TeamShape,
    operation_id="CreateTeam",
    summary="Create a Team",
)
@once
def new_team(request: Call, at: Path[InOrganization], body: NewTeam) -> Any:
    actor = request.caller.user
    with transaction.atomic():
        team = create_team(
            actor=actor,
            organization=request.organization,
            name=body.name,
            description=body.description,
        )
        for user in _people(request, body.member_ids or []):
            add_to_team(actor=actor, team=team, user=user)
        if body.organization_role not in (None, "", "ORGANIZATION_MEMBER"):
            _change_roles(request, team, HeldRoles(organization_role=body.organization_role))
    return _shape(request, team)


@router.get(
    "/organizations/{organizationId}/teams/{teamId}",
    auth=in_organization(SEE),
    response=TeamShape,
    operation_id="GetTeam",
    summary="Get a Team",
)
def get_team(request: Call, at: Path[AtTeam]) -> Any:
    return _shape(request, _team(request, at.team_id))


@router.post(
    "/organizations/{organizationId}/teams/{teamId}",
    auth=in_organization(MANAGE),
    response=TeamShape,
    operation_id="UpdateTeam",
    summary="Change name and description of a Team",
)
def change_team(request: Call, at: Path[AtTeam], body: TeamBody) -> Any:
    team = _team(request, at.team_id)
    update_team(actor=request.caller.user, team=team, name=body.name, description=body.description)
    return _shape(request, team)


@router.delete(
    "/organizations/{organizationId}/teams/{teamId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="DeleteTeam",
    summary="Delete a Team",
)
def remove_team(request: Call, at: Path[AtTeam]) -> None:
    delete_team(actor=request.caller.user, team=_team(request, at.team_id))


@router.get(
    "/organizations/{organizationId}/teams/{teamId}/members",
    auth=in_organization(SEE),
    response=MemberList,
    operation_id="ListTeamMembers",
    summary="List the members of a Team",
)
def list_members(request: Call, at: Path[AtTeam], asked: Query[Paging]) -> Any:
    found = people_in(team=_team(request, at.team_id))
    page = page_of(found, asked, sorts={"username": "email", "fullName": "name"})
    rows = [_member_shape(one) for one in page.rows]
    return MemberList(team_members=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/teams/{teamId}/members",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="AddTeamMembers",
    summary="Add members of the organization to a Team",
)
def add_members(request: Call, at: Path[AtTeam], body: NewMembers) -> None:
    team = _team(request, at.team_id)
    with transaction.atomic():
        for user in _people(request, body.member_ids):
            add_to_team(actor=request.caller.user, team=team, user=user)


@router.delete(
    "/organizations/{organizationId}/teams/{teamId}/members/{memberId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="RemoveTeamMember",
    summary="Remove a person from a Team",
)
def remove_member(request: Call, at: Path[AtMember]) -> None:
    team = _team(request, at.team_id)
    user = or_404(people_in(team=team).filter(pk=number_of("user", at.member_id)).first())
    remove_from_team(actor=request.caller.user, team=team, user=user)


@router.post(
    "/organizations/{organizationId}/teams/{teamId}/roles",
    auth=in_organization(SEE),
    response=HeldRoles,
    operation_id="UpdateTeamRoles",
    summary="Set the roles of a Team",
)
def change_team_roles(request: Call, at: Path[AtTeam], body: HeldRoles) -> Any:
    """Take the complete set, each role checked where it is held. ORGANIZATION_MEMBER is what every
    member has anyway.
    """
    team = _team(request, at.team_id)
    _change_roles(request, team, body)
    held = roles_shape(_held(request, team))
    # The Terraform provider fails without it.
    return HeldRoles(**{"organization_role": "ORGANIZATION_MEMBER", **held})


def _page(request: Call, found: Any, asked: Paging) -> TeamList:
    page = page_of(found, asked, sorts={"name": "name", "createdAt": "created_at"})
    held = held_by_teams(
        [one.group_id for one in page.rows],
        organization=request.organization,
        seen_by=request.caller.user,
    )
    rows = [_team_shape(one, held[one.group_id]) for one in page.rows]
    return TeamList(teams=rows, **page.numbers(asked))


def _change_roles(request: Call, team: Team, body: HeldRoles) -> None:
    actor, before = request.caller.user, _held(request, team)
    if body.organization_role == "ORGANIZATION_MEMBER" and request.organization not in before:
        body = body.model_copy(update={"organization_role": None})
    with transaction.atomic():
        carry_out(
            body,
            before=before,
            organization=request.organization,
            caller=actor,
            assign=partial(_assign, actor, team),
            take=partial(_take, actor, team),
        )


def _assign(actor: User, team: Team, on: Scoped, role: Role) -> None:
    assign_team_role(actor=actor, team=team, role=role, on=on)


def _take(actor: User, team: Team, on: Scoped) -> None:
    revoke_from_team(actor=actor, team=team, on=on)


def _team(request: Call, text: str) -> Team:
    teams = request.organization.teams.select_related("group", "organization")
    return or_404(teams.filter(pk=number_of("team", text)).first())


def _people(request: Call, ids: list[str]) -> list[User]:
    """Find the members that are named. Raises NotHere unless all are."""
    found = list(people_seen(request).filter(pk__in=numbers_of("user", ids)))
    if len(found) != len(set(ids)):
        raise NotHere
    return found


def _held(request: Call, team: Team) -> dict[Scoped, Role]:
    held = held_by_teams(
        [team.group_id], organization=request.organization, seen_by=request.caller.user
    )
    return held[team.group_id]


def _shape(request: Call, team: Team) -> TeamShape:
    return _team_shape(team, _held(request, team))


def _team_shape(team: Team, held: dict[Scoped, Role]) -> TeamShape:
    return TeamShape(
        id=public_id("team", team.pk),
        name=team.name,
        description=team.description,
        organization_id=public_id("organization", team.organization_id),
        is_idp_managed=team.source == Team.Source.MIRRORED,
        roles_count=len(held),
        created_at=team.created_at,
        updated_at=team.created_at,
        **roles_shape(held),
    )


def _member_shape(user: User) -> MemberShape:
    return MemberShape(
        user_id=public_id("user", user.pk),
        username=user.email,
        full_name=user.name or user.email,
        created_at=user.joined_at,
    )
