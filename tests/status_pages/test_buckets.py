"""The copy of a status page in a bucket of a real server."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.object_stores.models import ObjectStore
from apps.object_stores.services import remove_store
from apps.organizations.models import Organization
from apps.status_pages.copies.buckets import remove_unwanted, send_due
from apps.status_pages.copies.models import BucketCopy
from apps.status_pages.copies.writing import write_copy, write_due
from apps.status_pages.setup.models import StatusPage
from tests.object_stores.conftest import server, shared_server
from tests.object_stores.servers import BUCKET, Server, make_store
from tests.status_pages.examples import MINUTE, NOW, make_component, make_page

__all__ = ["server", "shared_server"]
pytestmark = pytest.mark.django_db
INDEX = "public/nordhavn/index.html"


@pytest.fixture
def page(organization: Organization) -> StatusPage:
    made = make_page(organization)
    make_component(made)
    return made


@pytest.fixture
def store(server: Server, alice: User, organization: Organization) -> ObjectStore:
    return make_store(server, alice, organization, ObjectStore.Use.STATUS_PAGE, prefix="public")


def sent(server: Server) -> dict[str, Any]:
    s3 = server.client()
    return {key: s3.head_object(Bucket=BUCKET, Key=key)["LastModified"] for key in server.objects()}


def test_every_file_is_there_with_its_type_and_says_when_it_was_written(
    page: StatusPage, store: ObjectStore, server: Server
) -> None:
    write_copy(page=page, now=NOW)

    assert send_due(now=NOW) == 1

    objects = server.objects()
    assert "12:00:00 UTC" in objects[INDEX].decode()
    assert {"public/nordhavn/status.css", "public/nordhavn/api/v2/summary.json"} <= {*objects}
    head = server.client().head_object(Bucket=BUCKET, Key=INDEX)
    assert head["ContentType"] == "text/html; charset=utf-8"
    assert head["CacheControl"] == "public, max-age=15"


def test_what_did_not_change_is_not_sent_again(
    page: StatusPage, store: ObjectStore, server: Server
) -> None:
    write_copy(page=page, now=NOW)
    send_due(now=NOW)
    server.client().put_object(Bucket=BUCKET, Key="public/nordhavn/status.css", Body=b"as it was")

    assert send_due(now=NOW + MINUTE / 2) == 0, "the copy is the one that is there"
    write_due(now=NOW + MINUTE)
    assert send_due(now=NOW + MINUTE) == 1

    objects = server.objects()
    assert "12:01:00 UTC" in objects[INDEX].decode()
    assert objects["public/nordhavn/status.css"] == b"as it was"


def test_another_address_takes_the_files_along(
    page: StatusPage, store: ObjectStore, server: Server
) -> None:
    write_copy(page=page, now=NOW)
    send_due(now=NOW)
    page.address, page.changed_at = "harbor", NOW + MINUTE
    page.save()

    write_due(now=NOW + MINUTE)
    send_due(now=NOW + MINUTE)

    assert {key.split("/")[1] for key in server.objects()} == {"harbor"}


@pytest.mark.parametrize("change", [{"is_on": False}, {"audience": "members"}])
def test_a_page_that_is_not_for_everyone_is_taken_away(
    page: StatusPage, store: ObjectStore, server: Server, change: dict[str, Any]
) -> None:
    write_copy(page=page, now=NOW)
    send_due(now=NOW)
    StatusPage.objects.update(**change)

    assert send_due(now=NOW + MINUTE) == 0
    assert remove_unwanted(now=NOW + MINUTE) == 1

    assert server.objects() == {}


def test_a_page_for_members_never_goes_there(
    page: StatusPage, store: ObjectStore, server: Server
) -> None:
    StatusPage.objects.update(audience="members")
    write_copy(page=page, now=NOW)

    assert send_due(now=NOW) == 0
    assert server.objects() == {}


def test_a_bucket_that_fails_is_said_on_the_page_and_tried_again(
    page: StatusPage,
    store: ObjectStore,
    server: Server,
    client_of: Callable[[User], Client],
    alice: User,
    bob: User,
) -> None:
    ObjectStore.objects.update(bucket="gone")
    write_copy(page=page, now=NOW)

    assert send_due(now=NOW) == 0

    path = "/o/nordhavn/status/"
    assert "There is no bucket gone" in client_of(alice).get(path).content.decode()
    assert "There is no bucket gone" not in client_of(bob).get(path).content.decode()
    ObjectStore.objects.update(bucket=BUCKET)
    assert send_due(now=NOW + timedelta(seconds=5)) == 0, "it was tried a moment ago"
    assert send_due(now=NOW + timedelta(seconds=31)) == 1
    assert "There is no bucket" not in client_of(alice).get(path).content.decode()
    assert "A copy is in the bucket lake/public" in client_of(alice).get(path).content.decode()


def test_a_bucket_that_is_used_no_longer_is_emptied_and_forgotten(
    page: StatusPage, store: ObjectStore, server: Server, alice: User
) -> None:
    write_copy(page=page, now=NOW)
    send_due(now=NOW)
    remove_store(actor=alice, store=store)

    remove_unwanted(now=NOW + MINUTE)

    assert server.objects() == {}
    assert not BucketCopy.objects.exists()
    assert not ObjectStore.objects.exists()


def test_one_that_never_answers_again_is_given_up_after_a_week(
    page: StatusPage, store: ObjectStore, server: Server, alice: User
) -> None:
    write_copy(page=page, now=NOW)
    send_due(now=NOW)
    remove_store(actor=alice, store=store)
    ObjectStore.objects.update(bucket="gone", retired_at=NOW)

    remove_unwanted(now=NOW + timedelta(days=6))
    assert BucketCopy.objects.exists()
    remove_unwanted(now=NOW + timedelta(days=8))
    assert not ObjectStore.objects.exists()
