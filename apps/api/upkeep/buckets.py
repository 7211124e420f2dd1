"""Buckets of an organization, for backups and for the copy of its status page."""

from datetime import datetime
from typing import Any, Literal

from ninja import Path, Router
from pydantic import Field

from apps.api.wire.errors import or_404
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.shapes import InOrganization, Shape
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import store_for, stores_of
from apps.object_stores.services import StoreData, remove_store, save_store, test_store

router = Router(by_alias=True, exclude_none=True, tags=["Bucket"])
EDIT = "organization.update"
ADDRESS = "/organizations/{organizationId}/buckets"


class AtBucket(InOrganization):
    use: Literal["backups", "status-page"]


class BucketShape(Shape):
    """The secret access key is written and never told. `use` is backups or status-page."""

    use: str
    endpoint: str
    bucket: str
    prefix: str
    region: str
    path_style: bool
    access_key_id: str
    ca_certificate: str
    ca_expires_at: datetime | None = None
    updated_at: datetime


class BucketList(Shape):
    buckets: list[BucketShape]


class BucketBody(Shape):
    """An empty `secretAccessKey` keeps the one that is stored, for the same server and access key.
    With another endpoint, bucket or prefix, what lies in the earlier one stays there.
    """

    endpoint: str = Field(max_length=300)
    bucket: str = Field(max_length=63)
    prefix: str = Field(default="", max_length=190)
    region: str = Field(default="us-east-1", max_length=40)
    path_style: bool = True
    access_key_id: str = Field(max_length=128)
    secret_access_key: str = Field(default="", max_length=1000)
    ca_certificate: str = Field(default="", max_length=50_000)


class BucketTest(Shape):
    message: str


@router.get(
    ADDRESS,
    auth=in_organization(EDIT),
    response=BucketList,
    operation_id="ListBuckets",
    summary="List the buckets of the organization, at most one for each use",
)
def list_buckets(request: Call, at: Path[InOrganization]) -> Any:
    return BucketList(buckets=[_shape(one) for one in stores_of(request.organization)])


@router.post(
    ADDRESS + "/{use}",
    auth=in_organization(EDIT),
    response=BucketShape,
    operation_id="SetBucket",
    summary="Use a bucket",
)
def set_bucket(request: Call, at: Path[AtBucket], body: BucketBody) -> Any:
    saved = save_store(
        actor=request.caller.user,
        organization=request.organization,
        use=ObjectStore.Use(at.use),
        data=StoreData(
            endpoint=body.endpoint,
            bucket=body.bucket,
            prefix=body.prefix,
            region=body.region,
            is_path_style=body.path_style,
            access_key_id=body.access_key_id,
            secret=body.secret_access_key,
            ca_certificate=body.ca_certificate,
        ),
    )
    return _shape(saved)


@router.post(
    ADDRESS + "/{use}/test",
    auth=in_organization(EDIT),
    response=BucketTest,
    operation_id="TestBucket",
    summary="Write, read and delete an object in a bucket",
)
def test_bucket(request: Call, at: Path[AtBucket]) -> Any:
    return BucketTest(message=test_store(store=_found(request, at)))


@router.delete(
    ADDRESS + "/{use}",
    auth=in_organization(EDIT),
    response={204: None},
    operation_id="RemoveBucket",
    summary="Use a bucket no longer",
)
def remove_bucket(request: Call, at: Path[AtBucket]) -> None:
    """What lies there stays, and the backups there can still be restored."""
    remove_store(actor=request.caller.user, store=_found(request, at))


def _found(request: Call, at: AtBucket) -> ObjectStore:
    return or_404(store_for(request.organization.pk, ObjectStore.Use(at.use)))


def _shape(store: ObjectStore) -> BucketShape:
    return BucketShape(
        use=store.use,
        endpoint=store.endpoint,
        bucket=store.bucket,
        prefix=store.prefix,
        region=store.region,
        path_style=store.is_path_style,
        access_key_id=store.access_key_id,
        ca_certificate=store.ca_certificate,
        ca_expires_at=store.ca_expires_at,
        updated_at=store.updated_at,
    )
