"""The page of buckets."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.certificates import certificates_in
from apps.core.errors import Invalid
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import secret_of, store_for
from apps.organizations.models import Organization
from tests.kubernetes.certificates import with_private_key
from tests.object_stores.servers import BUCKET, Server, make_store

WITH_KEY = with_private_key()
pytestmark = pytest.mark.django_db
URL = "/o/nordhavn/buckets/"
SECRET = "s3cr3t-of-the-lake"
FORM = {
    "endpoint": "https://s3.example.org",
    "bucket": "lake",
    "prefix": "/airflow/",
    "region": "eu-north-1",
    "is_path_style": "on",
    "access_key_id": "AKIA1",
    "secret": SECRET,
}


def test_alice_names_a_bucket_and_its_secret_is_seen_nowhere(
    client_of: Callable[[User], Client], alice: User, organization: Organization
) -> None:
    client = client_of(alice)

    response = client.post(f"{URL}backups/", FORM, follow=True)

    page = response.content.decode()
    assert "lake/airflow" in page
    assert "AKIA1" in page
    assert SECRET not in page
    assert SECRET not in client.get(f"{URL}backups/").content.decode()
    store = store_for(organization.pk, ObjectStore.Use.BACKUPS)
    assert store
    assert secret_of(store) == SECRET
    assert SECRET.encode() not in bytes(store.secret)
    event = AuditEvent.objects.get(action="bucket.saved")
    assert SECRET not in str(event.changes)


def test_others_are_refused(
    client_of: Callable[[User], Client], bob: User, charlie: User, organization: Organization
) -> None:
    for user, status in ((bob, 403), (charlie, 404)):
        for path in ("", "backups/"):
            assert client_of(user).get(f"{URL}{path}").status_code == status
        for path in ("backups/", "backups/test/", "backups/remove/"):
            assert client_of(user).post(f"{URL}{path}", FORM).status_code == status
    assert not ObjectStore.objects.exists()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("endpoint", "http://s3.example.org", "begins with https://"),
        ("endpoint", "https://user:pw@s3.example.org", "the server alone"),
        ("endpoint", "https://s3.example.org/lake", "the server alone"),
        ("bucket", "La ke", "name of a bucket"),
        ("bucket", "a..b", "name of a bucket"),
        ("prefix", "../other", "folders such as"),
        ("prefix", "a//b", "folders such as"),
        ("region", "eu north", "a region such as"),
        ("access_key_id", "a b", "without blanks"),
        ("secret", "", "Enter the secret access key"),
        ("secret", "a b", "without blanks"),
        ("ca_certificate", "PEM", "certificates in PEM"),
        ("ca_certificate", WITH_KEY, "This has a private key."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    client_of: Callable[[User], Client], alice: User, name: str, value: str, sentence: str
) -> None:
    response = client_of(alice).post(f"{URL}backups/", {**FORM, name: value})

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert SECRET not in response.content.decode()
    assert not ObjectStore.objects.exists()


def test_the_stored_secret_goes_to_no_other_server(
    client_of: Callable[[User], Client], alice: User, organization: Organization
) -> None:
    client = client_of(alice)
    client.post(f"{URL}backups/", FORM)

    kept = client.post(f"{URL}backups/", {**FORM, "secret": "", "region": "eu-west-1"})
    elsewhere = [
        client.post(f"{URL}backups/", {**FORM, "secret": "", **other})
        for other in ({"endpoint": "https://evil.example.org"}, {"access_key_id": "AKIA2"})
    ]

    assert kept.status_code == 302
    assert [one.status_code for one in elsewhere] == [422, 422]
    store = store_for(organization.pk, ObjectStore.Use.BACKUPS)
    assert store
    assert (store.region, store.endpoint) == ("eu-west-1", "https://s3.example.org")
    assert secret_of(store) == SECRET


def test_with_another_place_the_earlier_one_is_retired(
    client_of: Callable[[User], Client], alice: User, organization: Organization
) -> None:
    client = client_of(alice)
    client.post(f"{URL}backups/", FORM)
    client.post(f"{URL}backups/", {**FORM, "bucket": "other"})
    client.post(f"{URL}backups/remove/")

    assert store_for(organization.pk, ObjectStore.Use.BACKUPS) is None
    rows = ObjectStore.objects.order_by("pk")
    assert [(one.bucket, one.retired_at is not None) for one in rows] == [
        ("lake", True),
        ("other", True),
    ]


def test_a_test_writes_reads_and_deletes(
    server: Server,
    client_of: Callable[[User], Client],
    alice: User,
    organization: Organization,
) -> None:
    make_store(server, alice, organization)

    response = client_of(alice).post(f"{URL}backups/test/", follow=True)

    assert "An object was written to lake, read and deleted." in response.content.decode()
    assert server.objects() == {}
    ObjectStore.objects.update(bucket="nowhere")
    response = client_of(alice).post(f"{URL}backups/test/", follow=True)
    assert "There is no bucket nowhere at this address." in response.content.decode()


def test_backups_are_not_kept_where_everyone_reads(
    server: Server, alice: User, organization: Organization, settings: Any
) -> None:
    make_store(server, alice, organization, ObjectStore.Use.STATUS_PAGE)

    with pytest.raises(Invalid, match="Keep backups in another bucket"):
        make_store(server, alice, organization, bucket=BUCKET, prefix="private")


def test_a_private_key_that_was_stored_with_a_certificate_is_removed(
    organization: Organization,
) -> None:
    """It is gone with the next start of the portal; what is trusted stays."""
    store = ObjectStore.objects.create(
        organization=organization, use="backups", secret=b"x", ca_certificate=WITH_KEY
    )

    migration = "apps.object_stores.migrations.0002_certificates_alone"
    import_module(migration).keep_certificates_alone(apps, None)

    store.refresh_from_db()
    assert store.ca_certificate == certificates_in(WITH_KEY)
    assert "PRIVATE KEY" not in store.ca_certificate
