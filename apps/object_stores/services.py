"""Naming, testing and removing buckets. The secret key is sealed, written and never shown, and goes
to no other server than the one it was entered for.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.certificates import certificates_alone
from apps.core.encryption.crypto import SecretUnreadable
from apps.core.encryption.keys import key_ring
from apps.core.errors import Invalid
from apps.core.outbound.guarded_http import parts_of_address
from apps.object_stores import client
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import opened, secret_of, store_for
from apps.organizations.models import Organization

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*", re.ASCII)
REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
CREDENTIAL = re.compile(r"[!-~]+", re.ASCII)
TEST_NAME, TEST_BODY = ".astro-portal-test", b"Astro Portal can write here.\n"
WRONG = "Enter an address that begins with https://, such as https://s3.eu-north-1.amazonaws.com."
SHARED = "The copy of a status page is for everyone. Keep backups in another bucket."


@dataclass(frozen=True, kw_only=True)
class StoreData:
    """What a person enters. An empty `secret` keeps the one that is stored, for the same server and
    access key.
    """

    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    is_path_style: bool = True
    access_key_id: str
    secret: str = field(default="", repr=False)
    ca_certificate: str = ""


@transaction.atomic
def save_store(
    *, actor: User, organization: Organization, use: ObjectStore.Use, data: StoreData
) -> ObjectStore:
    """Use a bucket, or change how it is reached. With another place a new row begins, and the one
    before is retired. Raises Invalid.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    before = store_for(organization.pk, use)
    store = before or ObjectStore(organization=organization, use=use, created_by=actor)
    secret = _checked_secret(before, data)
    old = _shown(before)
    _fill(store, data)
    _refuse_shared(store)
    if before is not None and _place_in_database(before) != store.place:
        ObjectStore.objects.filter(pk=before.pk).update(retired_at=timezone.now())
        store = ObjectStore(organization=organization, use=use, created_by=actor)
        _fill(store, data)
    store.secret = key_ring().seal(value=secret, identity=store.identity("secret"))
    store.updated_at = timezone.now()
    store.save()
    new = _shown(store)
    changes: dict[str, Any] = {
        name: [old.get(name), new[name]] for name in new if old.get(name) != new[name]
    }
    if data.secret and before is not None:
        changes["secret access key"] = ["replaced", "replaced"]
    _record("saved", actor, store, changes)
    return store


@transaction.atomic
def remove_store(*, actor: User, store: ObjectStore) -> None:
    """Use a bucket no longer. What lies there stays, and the backups there can be restored."""
    store = ObjectStore.objects.select_for_update(of=("self",)).get(pk=store.pk)
    if store.retired_at is not None:
        return
    ObjectStore.objects.filter(pk=store.pk).update(retired_at=timezone.now())
    _record("removed", actor, store, {"bucket": [str(store), None]})


def test_store(*, store: ObjectStore) -> str:
    """Write, read and delete an object in a bucket, and return a sentence about it. Raises
    BucketFailed.
    """
    bucket, key = opened(store), f"{store.prefix}{TEST_NAME}"
    client.put(bucket, key, TEST_BODY, {"Content-Type": "text/plain"})
    if client.get_range(bucket, key, start=0, size=len(TEST_BODY)) != TEST_BODY:
        raise client.BucketFailed(f"The bucket {store.bucket} returned something else.")
    client.delete(bucket, key)
    return f"An object was written to {store}, read and deleted."


def _place_in_database(store: ObjectStore) -> tuple[str, str, str]:
    return ObjectStore.objects.only("endpoint", "bucket", "prefix").get(pk=store.pk).place


def _fill(store: ObjectStore, data: StoreData) -> None:
    store.endpoint = _checked_endpoint(data.endpoint)
    store.bucket, store.prefix, store.region = data.bucket, _prefix(data.prefix), data.region
    if not BUCKET.fullmatch(data.bucket) or ".." in data.bucket:
        raise Invalid("Enter the name of a bucket: 3 to 63 of a-z, 0-9, - and .", field="bucket")
    if not PREFIX.fullmatch(store.prefix):
        raise Invalid(
            "Enter folders such as airflow/backups, of letters, digits, - . and _", field="prefix"
        )
    if not REGION.fullmatch(data.region):
        raise Invalid("Enter a region such as eu-north-1.", field="region")
    if not CREDENTIAL.fullmatch(data.access_key_id):
        raise Invalid("Enter the access key ID, without blanks.", field="access_key_id")
    store.is_path_style, store.access_key_id = data.is_path_style, data.access_key_id
    store.ca_certificate = certificates_alone(data.ca_certificate, field="ca_certificate")


def _prefix(text: str) -> str:
    text = text.strip().strip("/")
    return f"{text}/" if text else ""


def _checked_endpoint(url: str) -> str:
    url = url.strip().rstrip("/")
    parts = parts_of_address(url, allows_http=settings.BUCKETS_ALLOW_HTTP)
    if parts is None:
        raise Invalid(WRONG, field="endpoint")
    if parts.username or parts.password or parts.path or parts.query or parts.fragment:
        raise Invalid("Enter the server alone, without user, path and bucket.", field="endpoint")
    return url


def _checked_secret(before: ObjectStore | None, data: StoreData) -> str:
    if data.secret:
        if not CREDENTIAL.fullmatch(data.secret):
            raise Invalid("Enter the secret access key, without blanks.", field="secret")
        return data.secret
    if before is not None and (_origin(data.endpoint), data.access_key_id) == (
        _origin(before.endpoint),
        before.access_key_id,
    ):
        try:
            return secret_of(before)
        except SecretUnreadable:
            pass
    raise Invalid("Enter the secret access key.", field="secret")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url.strip().rstrip("/"))
    return (parts.scheme, parts.netloc)


def _refuse_shared(store: ObjectStore) -> None:
    others = ObjectStore.objects.filter(
        organization_id=store.organization_id, endpoint=store.endpoint, bucket=store.bucket
    )
    if others.exclude(use=store.use).exists():
        raise Invalid(SHARED, field="bucket")


def _shown(store: ObjectStore | None) -> dict[str, Any]:
    if store is None:
        return {}
    return {
        "bucket": str(store),
        "address": store.endpoint,
        "region": store.region,
        "path style": store.is_path_style,
        "access key ID": store.access_key_id,
        "CA certificate": "set" if store.ca_certificate else None,
    }


def _record(what: str, actor: User, store: ObjectStore, changes: dict[str, Any]) -> None:
    changes = {"used for": [store.get_use_display(), store.get_use_display()], **changes}
    record_on(action=f"bucket.{what}", actor=actor, on=store.organization, changes=changes)
