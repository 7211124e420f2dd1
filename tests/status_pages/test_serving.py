"""A page on its way to its readers: the copy, the shelf of the web process, the folder."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import Error
from django.test import Client

from apps.organizations.models import Organization
from apps.status_pages.copies.models import Copy
from apps.status_pages.copies.shelf import Shelf, shelf
from apps.status_pages.copies.writing import forget_copies, write_due
from apps.status_pages.setup.models import StatusPage
from tests.core.pages import check_page
from tests.status_pages.examples import (
    NOW,
    Visitor,
    look,
    make_component,
    make_page,
    make_report,
    publish,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_shelf() -> Any:
    shelf.clear()
    yield
    shelf.clear()


@pytest.fixture
def page(organization: Any) -> StatusPage:
    return make_page(organization)


def test_a_visit_costs_no_query_and_a_second_one_no_body(
    page: StatusPage, deployment: Any, django_assert_num_queries: Any
):
    make_component(page, deployment)
    now = datetime.now(UTC)
    look(2, at=now)
    visitor = publish(page, now=now)
    visitor.get("/status/nordhavn/")

    with django_assert_num_queries(0):
        status, headers, body = visitor.get("/status/nordhavn/")
        again = visitor.get("/status/nordhavn/", if_none_match=headers["ETag"])
        packed = visitor.get("/status/nordhavn/", accept_encoding="br, gzip")
        head = visitor.get("/status/nordhavn/", method="HEAD")

    assert status == 200
    check_page(body.decode())
    assert b"Morning reports" in body
    assert b"All systems operational" in body
    assert deployment.name.encode() not in body
    assert b"<script" not in body
    assert again[0] == 304
    assert again[2] == b""
    assert gzip.decompress(packed[2]) == body
    assert packed[1]["Content-Encoding"] == "gzip"
    assert head[2] == b""
    assert head[1]["Content-Length"] == str(len(body))
    assert "form-action https://portal.test" in headers["Content-Security-Policy"]
    assert "Set-Cookie" not in headers


def test_all_of_a_page_weighs_less_than_20_kb(page: StatusPage):
    components = [make_component(page, name=f"Pipelines of region {n}") for n in range(10)]
    for number in range(3):
        make_report(page, *components, title=f"Late by {number} hours")
    visitor = publish(page, now=datetime.now(UTC))

    html, sheet = (visitor.get(f"/status/nordhavn/{name}")[2] for name in ("", "status.css"))

    assert len(html) + len(sheet) <= 20_000


def test_a_copy_that_is_old_says_so_and_stays(page: StatusPage):
    make_component(page)
    fresh = publish(page, now=datetime.now(UTC) - timedelta(minutes=4)).get("/status/nordhavn/")[2]
    old = publish(page, now=datetime.now(UTC) - timedelta(minutes=6)).get("/status/nordhavn/")[2]

    assert b"The portal has not reported since" not in fresh
    assert b"The portal has not reported since" in old
    check_page(old.decode())


def test_without_a_database_readers_get_what_is_at_hand(page: StatusPage, monkeypatch: Any):
    make_component(page)
    ticks = iter(range(0, 1000, 10))
    pages = Shelf(clock=lambda: float(next(ticks)))
    publish(page, now=datetime.now(UTC))
    visitor = Visitor(pages)
    assert visitor.get("/status/nordhavn/")[0] == 200

    def away(self: Any) -> None:
        raise Error("the connection is closed")

    monkeypatch.setattr(Shelf, "_load", away)

    assert visitor.get("/status/nordhavn/")[2].startswith(b"<!doctype html>")


@pytest.mark.parametrize("is_on", [True, False])
def test_a_page_that_is_off_or_for_members_is_as_unknown_to_others(
    page: StatusPage, client: Client, client_of: Any, bob: Any, charlie: Any, is_on: bool
):
    make_component(page)
    publish(page)
    audience = StatusPage.Audience.MEMBERS if is_on else StatusPage.Audience.PUBLIC
    StatusPage.objects.update(is_on=is_on, audience=audience)
    visitor = Visitor()

    for path in ("/status/nordhavn/", "/status/nordhavn/api/v2/summary.json", "/status/none/"):
        assert visitor.get(path)[1] == {"X-From": "Django"}
        assert client.get(path).status_code == 404
        assert client_of(charlie).get(path).status_code == 404
    answer = client_of(bob).get("/status/nordhavn/")
    assert answer.status_code == (200 if is_on else 404)
    if is_on:
        assert "private" in answer["Cache-Control"]


def test_a_host_name_of_its_own_has_the_page_and_nothing_else(page: StatusPage, settings: Any):
    settings.STATUS_HOSTS = ["status.example.org"]
    StatusPage.objects.update(host="status.example.org")
    page.refresh_from_db()
    make_component(page)
    visitor = publish(page)
    host = {"host": "Status.Example.org:443"}

    assert visitor.get("/", **host)[0] == 200
    assert visitor.get("/api/v2/summary.json", **host)[0] == 200
    assert visitor.get("/accounts/login/", **host)[0] == 404
    assert visitor.get("/", method="POST", **host)[0] == 404
    for other in ("free.example.org", "other.example.org"):
        assert visitor.get("/", host=other)[1] == {"X-From": "Django"}
    url = json.loads(visitor.get("/api/v2/status.json", **host)[2])["page"]["url"]
    assert url.endswith("://status.example.org/")


def test_an_address_without_its_slash_is_left_to_django(page: StatusPage, client: Client):
    make_component(page)

    assert publish(page).get("/status/nordhavn")[1] == {"X-From": "Django"}
    assert client.get("/status/nordhavn").status_code == 301


def test_copies_are_written_on_each_change_and_every_minute(page: StatusPage):
    make_component(page)

    assert write_due(now=NOW) == 1
    assert write_due(now=NOW + timedelta(seconds=59)) == 0
    assert write_due(now=NOW + timedelta(seconds=60)) == 1
    StatusPage.objects.update(changed_at=NOW + timedelta(seconds=61))
    assert write_due(now=NOW + timedelta(seconds=62)) == 1
    assert write_due(now=NOW + timedelta(seconds=63)) == 0


def test_a_page_that_cannot_be_written_does_not_keep_others_from_it(
    page: StatusPage, charlie: Any, monkeypatch: Any
):
    other = make_page(Organization.objects.get(slug="elsewhere"))
    original = write_due.__globals__["content_of"]

    def content(one: StatusPage, **given: Any) -> Any:
        if one == page:
            raise ValueError("a row of another version")
        return original(one, **given)

    monkeypatch.setitem(write_due.__globals__, "content_of", content)

    assert write_due(now=NOW) == 1
    assert list(Copy.objects.values_list("page", flat=True)) == [other.pk]


def test_the_folder_has_what_another_server_needs_and_no_page_that_is_not_public(
    page: StatusPage, settings: Any, tmp_path: Path
):
    settings.STATUS_FOLDER = str(tmp_path)
    make_component(page)
    (tmp_path / "of-others").mkdir()

    publish(page)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    html = (tmp_path / "nordhavn/index.html").read_text()
    StatusPage.objects.update(audience=StatusPage.Audience.MEMBERS)
    forget_copies(now=NOW)

    assert {"nordhavn/index.html", "nordhavn/api/v2/summary.json"} <= found
    assert "As of" in html
    assert "12:00:00 UTC" in html
    assert "more than 5 minutes ago, nothing has been reported since" in " ".join(html.split())
    assert [path.name for path in tmp_path.iterdir()] == ["of-others"]
