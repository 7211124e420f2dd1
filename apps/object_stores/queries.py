"""Which buckets an organization has, and how they are opened."""

from django.conf import settings
from django.db.models import QuerySet

from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.outbound.guarded_http import Reach
from apps.object_stores.client import Bucket, BucketFailed
from apps.object_stores.models import ObjectStore
from apps.organizations.models import Organization

SETTING = "PORTAL_BUCKET_NETWORKS"


def stores_of(organization: Organization) -> QuerySet[ObjectStore]:
    """List the buckets that an organization uses now, at most one for each use."""
    rows = ObjectStore.objects.filter(organization=organization, retired_at=None)
    return rows.select_related("created_by").order_by("use")


def store_for(organization_id: int, use: ObjectStore.Use) -> ObjectStore | None:
    """Return the bucket of a use, None if there is none."""
    rows = ObjectStore.objects.filter(organization_id=organization_id, use=use, retired_at=None)
    return rows.first()


def secret_of(store: ObjectStore) -> str:
    """Return the secret access key in plaintext. Raises SecretUnreadable."""
    return key_ring().open(sealed=bytes(store.secret), identity=store.identity("secret"))


def opened(store: ObjectStore) -> Bucket:
    """Return a bucket with what opens it. Raises BucketFailed if its key cannot be decrypted."""
    try:
        secret = secret_of(store)
    except SecretUnreadable:
        message = f"The secret key of the bucket {store.bucket} cannot be read. Enter it again."
        raise BucketFailed(message) from None
    return Bucket(
        endpoint=store.endpoint,
        name=store.bucket,
        region=store.region,
        is_path_style=store.is_path_style,
        access_key_id=store.access_key_id,
        secret=secret,
        reach=Reach(
            networks=settings.BUCKET_NETWORKS,
            setting=SETTING,
            allows_http=settings.BUCKETS_ALLOW_HTTP,
            ca=store.ca_certificate,
        ),
    )
