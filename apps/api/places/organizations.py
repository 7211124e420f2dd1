"""Organizations, and who calls."""

from datetime import date, datetime
from typing import Any

from django.http import StreamingHttpResponse
from ninja import Path, Query, Router
from pydantic import field_validator

from apps.accounts.models import UserKind
from apps.api.wire.gates import ANY_TOKEN, Call, in_organization
from apps.api.wire.paging import Paging, part_of
from apps.api.wire.shapes import NO_ONE, InOrganization, Listing, Profile, Shape
from apps.audit.services import export_events
from apps.core.public_ids import public_id
from apps.organizations.models import Organization
from apps.organizations.workspaces.queries import organizations_of
from apps.organizations.workspaces.services import update_organization

router = Router(by_alias=True, exclude_none=True, tags=["Organization"])
NDJSON = "application/x-ndjson"


class OrganizationShape(Shape):
    id: str
    name: str
    product: str = "HOSTED"
    product_plans: list[str] = []
    status: str = "ACTIVE"
    created_at: datetime
    updated_at: datetime
    created_by: Profile = NO_ONE
    updated_by: Profile = NO_ONE
    allow_enhanced_support_access: bool = False
    has_allowed_ip_address_ranges: bool = False
    is_blocked_enable_ai_features: bool = False
    is_scim_enabled: bool = False
    should_enforce_dedicated_clusters: bool = False


class OrganizationList(Listing):
    organizations: list[OrganizationShape]


class OrganizationChange(Shape):
    name: str


class SelfShape(Shape):
    """Who calls: a person, or an API token."""

    id: str
    username: str
    full_name: str
    avatar_url: str = ""
    status: str = "ACTIVE"
    organization_id: str | None = None
    created_at: datetime
    updated_at: datetime


class AuditQuery(Shape):
    """The first and the last day."""

    start_date: date | None = None
    end_date: date | None = None

    @field_validator("start_date", "end_date", mode="before")
    @classmethod
    def day_of(cls, asked: Any) -> Any:
        """Clients send moments; events are filtered by days."""
        return asked[:10] if isinstance(asked, str) else asked


class WhoAsks(Shape):
    create_if_not_exist: bool = False


@router.get(
    "/organizations",
    auth=ANY_TOKEN,
    response=OrganizationList,
    operation_id="ListOrganizations",
    summary="List the organizations in which the token works",
)
def list_organizations(request: Call, paging: Query[Paging]) -> Any:
    own = request.caller.organization
    page = part_of([own] if own else list(organizations_of(user=request.caller.user)), paging)
    rows = [organization_shape(one) for one in page.rows]
    return OrganizationList(organizations=rows, **page.numbers(paging))


@router.get(
    "/organizations/{organizationId}",
    auth=in_organization(),
    response=OrganizationShape,
    operation_id="GetOrganization",
    summary="Get an organization",
)
def get_organization(request: Call, at: Path[InOrganization]) -> Any:
    return organization_shape(request.organization)


@router.post(
    "/organizations/{organizationId}",
    auth=in_organization("organization.update"),
    response=OrganizationShape,
    operation_id="UpdateOrganization",
    summary="Rename an organization",
)
def change_organization(request: Call, at: Path[InOrganization], body: OrganizationChange) -> Any:
    organization = request.organization
    update_organization(actor=request.caller.user, organization=organization, name=body.name)
    return organization_shape(organization)


@router.get(
    "/organizations/{organizationId}/audit-logs",
    auth=in_organization("organization.audit.view"),
    response={200: None},
    operation_id="GetOrganizationAuditLogs",
    summary="Export the audit log, one event a line, oldest first",
    openapi_extra={
        "responses": {200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
    },
)
def export_audit_log(request: Call, at: Path[InOrganization], asked: Query[AuditQuery]) -> Any:
    lines = export_events(
        actor=request.caller.user,
        organization_id=request.organization.pk,
        organization_name=request.organization.name,
        filters={"since": asked.start_date, "until": asked.end_date},
    )
    return StreamingHttpResponse(lines, content_type=NDJSON)


@router.get(
    "/users/self",
    auth=ANY_TOKEN,
    response=SelfShape,
    operation_id="GetSelfUser",
    summary="Say whose token this is",
)
def get_self(request: Call, asked: Query[WhoAsks]) -> Any:
    user, organization = request.caller.user, request.caller.organization
    is_person = user.kind == UserKind.PERSON
    return SelfShape(
        id=public_id("user", user.pk),
        username=user.email if is_person else user.name,
        full_name=user.name or user.email,
        organization_id=public_id("organization", organization.pk) if organization else None,
        created_at=user.joined_at,
        updated_at=user.joined_at,
    )


def organization_shape(organization: Organization) -> OrganizationShape:
    return OrganizationShape(
        id=public_id("organization", organization.pk),
        name=organization.name,
        created_at=organization.created_at,
        updated_at=organization.created_at,
    )
