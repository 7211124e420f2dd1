"""What the watch makes of a package index, good or bad."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.releases import index, shelf
from apps.releases.models import Release, Source
from apps.runtimes.catalogue import built_in, runtime_called
from tests.releases.made_up_index import made_up_index

NOW = datetime(2026, 11, 28, 20, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_only_what_is_newer_than_the_catalogue_is_found_and_once(settings: Any) -> None:
    with made_up_index() as (address, published):
        settings.PACKAGE_INDEX = address
        for version in ("2.11.2", "3.3.0", "3.3.2", "3.3.3", "3.4.0rc1", "3.4.0", "3.5.0.post1"):
            published.publish(version)
        published.files.append({"filename": "apache_airflow-3.9.9.tar.gz"})

        assert index.look(now=NOW) == 2
        assert index.look(now=NOW) == 0

        assert published.asked[1]["If-None-Match"] == '"8"'
        assert sorted(Release.objects.values_list("airflow_version", flat=True)) == [
            "3.3.3",
            "3.4.0",
        ]
        assert Release.objects.first().published_at.hour == 19  # type: ignore[union-attr]
        published.publish("3.4.1")
        assert index.look(now=NOW) == 1


@pytest.mark.django_db
def test_what_upstream_withdraws_is_withdrawn_here_with_its_reason(settings: Any) -> None:
    version = built_in()[0].airflow_version
    with made_up_index() as (address, published):
        settings.PACKAGE_INDEX = address
        published.publish(version, yanked="It loses tasks.")
        published.publish("3.9.0", yanked=True)

        index.look(now=NOW)
        shelf.write()

    assert not Release.objects.exists()
    runtime = runtime_called(f"{version}-1")
    assert (runtime.yanked, runtime.is_offered(today=NOW.date())) == ("It loses tasks.", False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (500, None, "status 500"),
        (302, None, "status 302"),
        (200, b"<html>", "does not answer with JSON"),
        (200, b"[]", "does not answer with JSON"),
        (200, b'{"files": [{"filename": 7}]}', "does not answer with JSON"),
        (200, b'{"files": 7}', "does not answer with JSON"),
    ],
)
def test_a_broken_index_is_said_and_what_is_known_stays(
    settings: Any, status: int, body: bytes | None, said: str
) -> None:
    Release.objects.create(airflow_version="3.4.0", published_at=NOW)
    with made_up_index() as (address, published):
        settings.PACKAGE_INDEX = address
        published.status, published.body = status, body

        assert index.look(now=NOW) == 0

    source = Source.objects.get(name="index")
    assert said in source.problem
    assert source.checked_at == NOW
    assert Release.objects.count() == 1


@pytest.mark.django_db
def test_loopback_is_asked_only_where_the_operator_allows_it(settings: Any) -> None:
    settings.RUNTIME_NETWORKS = ()
    with made_up_index() as (address, published):
        settings.PACKAGE_INDEX = address

        index.look(now=NOW)

    assert "PORTAL_RUNTIME_NETWORKS" in Source.objects.get(name="index").problem
    assert published.asked == []


@pytest.mark.parametrize(
    ("version", "is_new"),
    [("3.3.3", True), ("3.3.2", False), ("3.3.1", False), ("3.2.9", True), ("3.4.0", True)]
    + [("3.0.9", False), ("4.0.0", True), ("2.11.9", False)],
)
def test_newer_is_newer_within_its_minor_or_a_minor_that_is_not_older(
    version: str, is_new: bool
) -> None:
    assert index.is_new(version, ["3.3.2", "3.2.2", "3.1.8"]) is is_new


@pytest.mark.django_db
def test_without_a_named_index_it_says_so_and_asks_none(settings: Any) -> None:
    settings.PACKAGE_INDEX = ""

    assert index.look(now=NOW) == 0

    assert "PORTAL_PACKAGE_INDEX_URL" in Source.objects.get(name="index").problem
