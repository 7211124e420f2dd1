"""API tokens of the organization, its workspaces and its Deployments."""

from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import Q
from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field, model_validator

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.access.scoped import require
from apps.access.scopes import Scoped, grant_model, models_with_roles
from apps.api.people.roles import role_named, wire_name
from apps.api.wire.errors import NotOffered, or_404
from apps.api.wire.finding import place_of, visible
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once_with_secret
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Name, Profile, Shape, profile_of
from apps.core.errors import Invalid
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Deployment
from apps.organizations.models import ApiToken, Workspace
from apps.organizations.tokens.queries import roles_of_tokens, tokens_on
from apps.organizations.tokens.services import (
    create_token,
    revoke_token,
    rotate_token,
    update_token,
)

router = Router(by_alias=True, exclude_none=True, tags=["API token"])
# How long a secret works on after a rotation: clients replace it at once.
GRACE = timedelta(0)
DAY = timedelta(days=1)
MOST_DAYS = 3_650
MODELS = {"WORKSPACE": Workspace, "DEPLOYMENT": Deployment}


class AtToken(InOrganization):
    token_id: str


class TokenRole(Shape):
    entity_id: str
    entity_type: str
    role: str


class TokenShape(Shape):
    """`token` is the secret: it is there once, where it was made."""

    id: str
    name: str
    description: str
    scope: str
    type: str
    kind: str = "STANDARD"
    roles: list[TokenRole]
    short_token: str
    token: str | None = None
    start_at: datetime
    end_at: datetime | None = None
    expiry_period_in_days: int | None = None
    last_used_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    created_by: Profile
    updated_by: Profile


class TokenList(Listing):
    tokens: list[TokenShape]


class TokenQuery(Paging):
    workspace_id: str = ""
    deployment_id: str = ""
    include_only_organization_tokens: bool = False


class TokenBody(Shape):
    name: Name = Field(max_length=80)
    description: str = Field(default="", max_length=250)


class NewToken(TokenBody):
    role: str
    scope: Literal["ORGANIZATION", "WORKSPACE", "DEPLOYMENT"]
    entity_id: str = ""
    token_expiry_period_in_days: int | None = Field(default=None, ge=0, le=MOST_DAYS)

    @model_validator(mode="before")
    @classmethod
    def with_scope(cls, sent: Any) -> Any:
        """Some clients call it the type."""
        if isinstance(sent, dict) and "scope" not in sent and "type" in sent:
            return {**sent, "scope": sent["type"]}
        return sent


class TokenRoles(Shape):
    roles: list[TokenRole]


@router.get(
    "/organizations/{organizationId}/tokens",
    auth=in_organization(),
    response=TokenList,
    operation_id="ListApiTokens",
    summary="List API tokens, of the organization, a workspace or a Deployment",
)
def list_tokens(request: Call, at: Path[InOrganization], asked: Query[TokenQuery]) -> Any:
    on = place_of(request, asked.workspace_id, asked.deployment_id)
    require(user=request.caller.user, permission=_managing(on), on=on)
    page = page_of(tokens_on(on=on), asked, sorts={"name": "name", "createdAt": "created_at"})
    roles = roles_of_tokens(on=on)
    rows = [_token_shape(one, on, roles[one.user_id]) for one in page.rows]
    return TokenList(tokens=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/tokens",
    auth=in_organization(),
    response=TokenShape,
    operation_id="CreateApiToken",
    summary="Create an API token",
)
@once_with_secret
def new_token(request: Call, at: Path[InOrganization], body: NewToken) -> Any:
    """A token has no more rights than its maker. Its secret is in this answer alone."""
    on = _place(request, body)
    require(user=request.caller.user, permission=_managing(on), on=on)
    days = body.token_expiry_period_in_days
    role = role_named(body.role, on=on)
    token, secret = create_token(
        actor=request.caller.user,
        on=on,
        name=body.name,
        description=body.description,
        role=role,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    return _token_shape(token, on, role, secret)


@router.get(
    "/organizations/{organizationId}/tokens/{tokenId}",
    auth=in_organization(),
    response=TokenShape,
    operation_id="GetApiToken",
    summary="Get an API token",
)
def get_token(request: Call, at: Path[AtToken]) -> Any:
    return _token_shape(*_token(request, at.token_id))


@router.post(
    "/organizations/{organizationId}/tokens/{tokenId}",
    auth=in_organization(),
    response=TokenShape,
    operation_id="UpdateApiToken",
    summary="Change name and description of an API token",
)
def change_token(request: Call, at: Path[AtToken], body: TokenBody) -> Any:
    token, on, role = _token(request, at.token_id)
    update_token(
        actor=request.caller.user,
        token=token,
        on=on,
        name=body.name,
        description=body.description,
    )
    return _token_shape(token, on, role)


@router.post(
    "/organizations/{organizationId}/tokens/{tokenId}/roles",
    auth=in_organization(),
    response=TokenRoles,
    operation_id="UpdateApiTokenRoles",
    summary="Change the role of an API token",
)
def change_token_role(request: Call, at: Path[AtToken], body: TokenRoles) -> Any:
    token, on, before = _token(request, at.token_id)
    here = public_id(type(on).access_scope, on.pk)
    if len(body.roles) != 1 or body.roles[0].entity_id != here:
        raise NotOffered("A token holds one role, on the resource that it was made for.")
    role = role_named(body.roles[0].role, on=on)
    if role != before:
        grant(
            actor=request.caller.user,
            user=token.user,
            role=role,
            on=on,
            expires_at=token.expires_at,
        )
    return TokenRoles(roles=[_role_shape(on, role)])


@router.post(
    "/organizations/{organizationId}/tokens/{tokenId}/rotate",
    auth=in_organization(),
    response=TokenShape,
    operation_id="RotateApiToken",
    summary="Replace the secret of an API token",
)
@once_with_secret
def rotate(request: Call, at: Path[AtToken]) -> Any:
    """The secret before stops working at once; the new one is in this answer alone."""
    token, on, role = _token(request, at.token_id)
    secret = rotate_token(actor=request.caller.user, token=token, on=on, grace=GRACE)
    return _token_shape(token, on, role, secret)


@router.delete(
    "/organizations/{organizationId}/tokens/{tokenId}",
    auth=in_organization(),
    response={204: None},
    operation_id="DeleteApiToken",
    summary="Revoke an API token",
)
def remove_token(request: Call, at: Path[AtToken]) -> None:
    token, on, _ = _token(request, at.token_id)
    revoke_token(actor=request.caller.user, token=token, on=on)


def _place(request: Call, body: NewToken) -> Any:
    if body.scope == "ORGANIZATION":
        return request.organization
    if not body.entity_id:
        raise Invalid("Name the workspace or Deployment by its ID.", field="entityId")
    return visible(request, MODELS[body.scope], body.entity_id)


def _token(request: Call, text: str) -> tuple[ApiToken, Any, Role]:
    """Find a token with what it is for and its role. Raises NotHere for one on something that the
    caller does not see, PermissionMissing where they may not manage tokens there.
    """
    held = or_404(_held_by_token(request, number_of("token", text)))
    on = held.content_object
    require(user=request.caller.user, permission=_managing(on), on=on)
    return held.user.api_token, on, held.role


def _held_by_token(request: Call, number: int) -> Any:
    for model in models_with_roles():
        path = model.access_paths["organization"]
        seen = model.objects.visible_to(request.caller.user)
        mine = seen.filter(**{path or "pk": request.organization.pk})
        grants = (
            grant_model(model)
            .objects.live()
            .filter(
                Q(content_object__in=mine), user__api_token=number, user__api_token__revoked_at=None
            )
        )
        above = [f"content_object__{one}" for one in model.access_paths.values() if one]
        related = ("user__api_token__created_by", "permission__role", "content_object", *above)
        if found := grants.select_related(*related).first():
            return found
    return None


def _managing(on: Scoped) -> str:
    return f"{type(on).access_scope}.tokens.manage"


def _role_shape(on: Scoped, role: Role) -> TokenRole:
    scope = type(on).access_scope
    return TokenRole(
        entity_id=public_id(scope, on.pk), entity_type=scope.upper(), role=wire_name(role)
    )


def _token_shape(token: ApiToken, on: Scoped, role: Role, secret: str = "") -> TokenShape:
    newest = token.secrets.order_by("-pk").first()
    days = round((token.expires_at - token.created_at) / DAY) if token.expires_at else None
    return TokenShape(
        id=public_id("token", token.pk),
        name=token.name,
        description=token.description,
        scope=token.scope.upper(),
        type=token.scope.upper(),
        roles=[_role_shape(on, role)],
        short_token=newest.shown if newest else "",
        token=secret or None,
        start_at=token.created_at,
        end_at=token.expires_at,
        expiry_period_in_days=days,
        last_used_at=token.last_used_at,
        created_at=token.created_at,
        updated_at=newest.made_at if newest else token.created_at,
        created_by=profile_of(token.created_by),
        updated_by=profile_of(token.created_by),
    )
