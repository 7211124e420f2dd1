"""Package indexes of the organization, its workspaces and its Deployments."""

from datetime import datetime
from typing import Any

from ninja import Path, Query, Router
from pydantic import Field

from apps.access.scoped import require
from apps.access.scopes import Scoped
from apps.api.wire.errors import NotHere
from apps.api.wire.finding import place_of
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Name, Profile, Shape, profile_of
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Phase
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import indexes_in, indexes_of
from apps.package_indexes.services import (
    IndexData,
    add_index,
    change_index,
    remove_index,
    test_index,
)

router = Router(by_alias=True, exclude_none=True, tags=["Package index"])


class AtIndex(InOrganization):
    package_index_id: str


class IndexShape(Shape):
    """The password is written and never told: `hasPassword` says whether there is one."""

    id: str
    name: str
    url: str
    username: str
    has_password: bool
    ca_certificate: str
    ca_expires_at: datetime | None = None
    replaces_public_index: bool
    scope: str
    entity_id: str
    created_at: datetime
    updated_at: datetime
    created_by: Profile


class IndexList(Listing):
    package_indexes: list[IndexShape]


class IndexQuery(Paging):
    workspace_id: str = ""
    deployment_id: str = ""


class IndexBody(Shape):
    """An empty password keeps the one that is stored, for the same host and user."""

    name: Name = Field(max_length=60)
    url: str = Field(max_length=500)
    username: str = Field(default="", max_length=200)
    password: str = Field(default="", max_length=4000)
    ca_certificate: str = Field(default="", max_length=50_000)
    replaces_public_index: bool = False

    def data(self) -> IndexData:
        return IndexData(
            name=self.name,
            url=self.url,
            username=self.username,
            password=self.password,
            ca_certificate=self.ca_certificate,
            is_only=self.replaces_public_index,
        )


class NewIndex(IndexBody):
    """Of the organization, unless it names one of its workspaces or Deployments."""

    workspace_id: str = ""
    deployment_id: str = ""


class TestResult(Shape):
    message: str


@router.get(
    "/organizations/{organizationId}/package-indexes",
    auth=in_organization(),
    response=IndexList,
    operation_id="ListPackageIndexes",
    summary="List package indexes, of the organization, a workspace or a Deployment",
)
def list_indexes(request: Call, at: Path[InOrganization], asked: Query[IndexQuery]) -> Any:
    place = _place(request, asked.workspace_id, asked.deployment_id)
    page = page_of(indexes_of(place), asked, sorts={"name": "name", "createdAt": "created_at"})
    rows = [_shape(one) for one in page.rows]
    return IndexList(package_indexes=rows, **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/package-indexes",
    auth=in_organization(),
    response=IndexShape,
    operation_id="CreatePackageIndex",
    summary="Add a package index",
)
@once
def new_index(request: Call, at: Path[InOrganization], body: NewIndex) -> Any:
    place = _place(request, body.workspace_id, body.deployment_id)
    return _shape(add_index(actor=request.caller.user, place=place, data=body.data()))


@router.get(
    "/organizations/{organizationId}/package-indexes/{packageIndexId}",
    auth=in_organization(),
    response=IndexShape,
    operation_id="GetPackageIndex",
    summary="Get a package index",
)
def get_index(request: Call, at: Path[AtIndex]) -> Any:
    return _shape(_index(request, at.package_index_id))


@router.post(
    "/organizations/{organizationId}/package-indexes/{packageIndexId}",
    auth=in_organization(),
    response=IndexShape,
    operation_id="UpdatePackageIndex",
    summary="Change a package index",
)
def change(request: Call, at: Path[AtIndex], body: IndexBody) -> Any:
    index = _index(request, at.package_index_id)
    change_index(actor=request.caller.user, index=index, data=body.data())
    return _shape(_index(request, at.package_index_id))


@router.post(
    "/organizations/{organizationId}/package-indexes/{packageIndexId}/test",
    auth=in_organization(),
    response=TestResult,
    operation_id="TestPackageIndex",
    summary="Ask a package index from the portal's machine",
)
def ask(request: Call, at: Path[AtIndex]) -> Any:
    return TestResult(message=test_index(index=_index(request, at.package_index_id)))


@router.delete(
    "/organizations/{organizationId}/package-indexes/{packageIndexId}",
    auth=in_organization(),
    response={204: None},
    operation_id="DeletePackageIndex",
    summary="Remove a package index",
)
def remove(request: Call, at: Path[AtIndex]) -> None:
    remove_index(actor=request.caller.user, index=_index(request, at.package_index_id))


def _place(request: Call, workspace_id: str, deployment_id: str) -> Any:
    """Find what an index is of. Raises NotHere, PermissionMissing where it may not be changed."""
    place = place_of(request, workspace_id, deployment_id)
    require(user=request.caller.user, permission=_changing(place), on=place)
    return place


def _index(request: Call, text: str) -> PackageIndex:
    """Find an index. Raises NotHere for one of something that the caller does not see, and
    PermissionMissing where it may not be changed.
    """
    rows = indexes_in(request.organization)
    found = rows.filter(pk=number_of("package-index", text)).first()
    if found is None or getattr(found.place, "phase", "") == Phase.DELETED:
        raise NotHere
    place, user = found.place, request.caller.user
    if not user.has_perm(f"{type(place).access_scope}.view", place):
        raise NotHere
    require(user=user, permission=_changing(place), on=place)
    return found


def _changing(place: Scoped) -> str:
    return f"{type(place).access_scope}.update"


def _shape(index: PackageIndex) -> IndexShape:
    place = index.place
    return IndexShape(
        id=public_id("package-index", index.pk),
        name=index.name,
        url=index.url,
        username=index.username,
        has_password=bool(index.secret),
        ca_certificate=index.ca_certificate,
        ca_expires_at=index.ca_expires_at,
        replaces_public_index=index.is_only,
        scope=type(place).access_scope.upper(),
        entity_id=public_id(type(place).access_scope, place.pk),
        created_at=index.created_at,
        updated_at=index.updated_at,
        created_by=profile_of(index.created_by),
    )
