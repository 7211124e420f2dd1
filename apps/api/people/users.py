"""People of an organization, their roles, and invitations."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from django.db import transaction
from django.db.models import Q, QuerySet
from ninja import Path, Query, Router
from pydantic import Field

from apps.access.grants.services import revoke
from apps.access.models import Role
from apps.access.queries import roles_for
from apps.access.scoped import require
from apps.access.scopes import Scoped, grant_model
from apps.accounts.models import User, UserKind
from apps.api.people.holders import HeldRoles, carry_out, held_by_people, roles_shape
from apps.api.people.roles import role_named, wire_name
from apps.api.wire.errors import or_404
from apps.api.wire.finding import place_of
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Like, Listing, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.organizations.invitations.queries import open_invitations
from apps.organizations.invitations.services import invite, revoke_invitation
from apps.organizations.members.services import assign_role, remove_person
from apps.organizations.models import Invitation, Organization, OrganizationGrant, Workspace

router = Router(by_alias=True, exclude_none=True, tags=["User"])


class AtUser(InOrganization):
    user_id: str


class AtInvite(InOrganization):
    invite_id: str


class UserShape(HeldRoles):
    id: str
    username: str
    full_name: str
    avatar_url: str = ""
    status: str
    created_at: datetime
    updated_at: datetime


class UserList(Listing):
    users: list[UserShape]


class UserQuery(Paging):
    workspace_id: str = ""
    deployment_id: str = ""


class NewInvite(Shape):
    invitee_email: Annotated[str, Like(r"^[^@\s]+@[^@\s]+$", "name@example.com")] = Field(
        max_length=254
    )
    role: str = "ORGANIZATION_MEMBER"


class InviteShape(Shape):
    """`link` is there where no mail server is set up: hand it on, it is shown once."""

    invite_id: str
    organization_id: str
    organization_name: str
    invitee: Profile
    inviter: Profile
    user_id: str | None = None
    expires_at: datetime
    link: str | None = None


@router.get(
    "/organizations/{organizationId}/users",
    auth=in_organization(),
    response=UserList,
    operation_id="ListUsers",
    summary="List people, of the organization, a workspace or a Deployment",
)
def list_users(request: Call, at: Path[InOrganization], asked: Query[UserQuery]) -> Any:
    place = place_of(request, asked.workspace_id, asked.deployment_id)
    require(
        user=request.caller.user, permission=f"{type(place).access_scope}.members.view", on=place
    )
    grants = grant_model(type(place)).objects.live().of_people().filter(content_object=place)
    found = User.objects.filter(pk__in=grants.values("user"))
    page = page_of(found, asked, sorts={"username": "email", "fullName": "name"})
    held = held_by_people(page.rows, organization=request.organization, seen_by=request.caller.user)
    rows = [_user_shape(one, held[one.pk]) for one in page.rows]
    return UserList(users=rows, **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/users/{userId}",
    auth=in_organization(),
    response=UserShape,
    operation_id="GetUser",
    summary="Get a person",
)
def get_user(request: Call, at: Path[AtUser]) -> Any:
    """The ID of an invitation stands for the person: PENDING, until it is accepted."""
    number = number_of("invitation", at.user_id)
    if number:
        return _invited_shape(request, number)
    user = _user(request, at.user_id)
    return _user_shape(user, _held_by(request, user))


@router.delete(
    "/organizations/{organizationId}/users/{userId}",
    auth=in_organization("organization.members.manage"),
    response={204: None},
    operation_id="RemoveUser",
    summary="Remove a person from the organization",
)
def remove_user(request: Call, at: Path[AtUser]) -> None:
    """With every role below it and all Teams. 409 for the last owner."""
    user = _user(request, at.user_id)
    remove_person(actor=request.caller.user, user=user, on=request.organization)


@router.post(
    "/organizations/{organizationId}/users/{userId}/roles",
    auth=in_organization(),
    response=HeldRoles,
    operation_id="UpdateUserRoles",
    summary="Set the roles of a person",
)
def change_user_roles(request: Call, at: Path[AtUser], body: HeldRoles) -> Any:
    """Take the complete set. A list that is left out stays as it is."""
    user, actor = _user(request, at.user_id), request.caller.user
    with transaction.atomic():
        carry_out(
            body,
            before=_held_by(request, user),
            organization=request.organization,
            caller=actor,
            assign=partial(_assign, actor, user),
            take=partial(_take, actor, user),
        )
    return HeldRoles(**roles_shape(_held_by(request, user)))


@router.post(
    "/organizations/{organizationId}/invites",
    auth=in_organization("organization.members.manage"),
    response=InviteShape,
    operation_id="CreateUserInvite",
    summary="Invite a person",
)
@once
def new_invite(request: Call, at: Path[InOrganization], body: NewInvite) -> Any:
    organization, actor = request.organization, request.caller.user
    role = role_named(body.role, on=organization)
    email = body.invitee_email.strip().lower()
    link = invite(actor=actor, organization=organization, email=email, organization_role=role.key)
    made = Invitation.objects.filter(organization=organization, email=email).latest("pk")
    return _invite_shape(made, organization, link)


@router.delete(
    "/organizations/{organizationId}/invites/{inviteId}",
    auth=in_organization("organization.members.manage"),
    response={204: None},
    operation_id="DeleteUserInvite",
    summary="Withdraw an invitation",
)
def remove_invite(request: Call, at: Path[AtInvite]) -> None:
    waiting = open_invitations(organization=request.organization, seen_by=request.caller.user)
    found = or_404(waiting.filter(pk=number_of("invitation", at.invite_id)).first())
    revoke_invitation(actor=request.caller.user, invitation=found)


def people_seen(request: Call) -> QuerySet[User]:
    """List the members that a caller may know of: all, or those on what they may see members of."""
    organization, user = request.organization, request.caller.user
    entries = OrganizationGrant.objects.live().of_people().filter(content_object=organization)
    members = User.objects.filter(pk__in=entries.values("user"), kind=UserKind.PERSON)
    if user.has_perm("organization.members.view", organization):
        return members
    known = Q(pk__in=[])
    for model in (Workspace, Deployment):
        places = model.objects.allowing(user, f"{model.access_scope}.members.view")
        grants = grant_model(model).objects.live().filter(content_object__in=places)
        known |= Q(pk__in=grants.values("user"))
    return members.filter(known)


def _user(request: Call, text: str) -> User:
    return or_404(people_seen(request).filter(pk=number_of("user", text)).first())


def _held_by(request: Call, user: User) -> dict[Scoped, Role]:
    held = held_by_people([user], organization=request.organization, seen_by=request.caller.user)
    return held[user.pk]


def _assign(actor: User, user: User, on: Scoped, role: Role) -> None:
    assign_role(actor=actor, user=user, role=role, on=on)


def _take(actor: User, user: User, on: Scoped) -> None:
    if isinstance(on, Workspace):
        remove_person(actor=actor, user=user, on=on)
    else:
        revoke(actor=actor, user=user, on=on)


def _user_shape(user: User, held: dict[Scoped, Role]) -> UserShape:
    return UserShape(
        id=public_id("user", user.pk),
        username=user.email,
        full_name=user.name or user.email,
        status="ACTIVE" if user.is_active else "INACTIVE",
        created_at=user.joined_at,
        updated_at=user.joined_at,
        **roles_shape(held),
    )


def _invited_shape(request: Call, number: int) -> UserShape:
    """Describe who was invited, for those who see members. Raises NotHere, PermissionMissing."""
    require(
        user=request.caller.user, permission="organization.members.view", on=request.organization
    )
    invitations = Invitation.objects.filter(organization=request.organization, revoked_at=None)
    found = or_404(invitations.filter(pk=number, workspace=None).first())
    if found.accepted_at is not None:
        user = or_404(people_seen(request).filter(email=found.email).first())
        return _user_shape(user, _held_by(request, user))
    roles = roles_for(on=request.organization)
    role = next((one for one in roles if one.key == found.organization_role), None)
    return UserShape(
        id=public_id("invitation", found.pk),
        username=found.email,
        full_name=found.email,
        status="PENDING",
        created_at=found.created_at,
        updated_at=found.created_at,
        organization_role=wire_name(role) if role else None,
    )


def _invite_shape(invitation: Invitation, organization: Organization, link: str) -> InviteShape:
    # Whether the address has an account here is nothing that an inviter learns.
    invited = public_id("invitation", invitation.pk)
    return InviteShape(
        invite_id=invited,
        organization_id=public_id("organization", organization.pk),
        organization_name=organization.name,
        invitee=Profile(id=invited, username=invitation.email),
        inviter=profile_of(invitation.invited_by),
        expires_at=invitation.expires_at,
        link=link or None,
    )
