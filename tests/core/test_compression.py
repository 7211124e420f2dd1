"""Pages are compressed, those that may show a secret never."""

import gzip
from collections.abc import Callable

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from apps.accounts.models import User
from apps.core.web.compression import CompressPages
from apps.deployments.models import Deployment

BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd", "Sec-Fetch-Site": "same-origin"}
MOST_BYTES = 60_000
LIST = "/w/warehouse/deployments/"


def answered(
    response: HttpResponse | StreamingHttpResponse | None = None, method: str = "GET", **asked: str
) -> HttpResponse:
    response = response or HttpResponse("<p>row</p>" * 100)
    request = RequestFactory().generic(
        method, "/", secure=asked.pop("secure", "") == "yes", headers=BROWSER | asked
    )
    for name in [name for name, value in asked.items() if not value]:
        del request.META[f"HTTP_{name.upper().replace('-', '_')}"]
    return CompressPages(lambda request: response)(request)  # type: ignore[return-value]


def is_compressed(response: HttpResponse) -> bool:
    return response.headers.get("Content-Encoding") == "gzip"


def test_a_page_is_compressed_and_says_what_it_depends_on():
    response = answered()

    assert is_compressed(response)
    assert gzip.decompress(response.content) == b"<p>row</p>" * 100
    assert response["Vary"] == "Accept-Encoding"


def test_a_page_that_could_be_compressed_says_so_to_those_who_do_not_ask():
    response = answered(**{"Accept-Encoding": "identity"})

    assert not is_compressed(response)
    assert response["Vary"] == "Accept-Encoding"


def test_the_tag_of_a_compressed_page_is_a_weak_one():
    response = answered(HttpResponse("<p>row</p>" * 100, headers={"ETag": '"a1"'}))

    assert response["ETag"] == 'W/"a1"'


def test_the_length_says_nothing_exact():
    assert len({len(answered().content) for _ in range(40)}) > 1


@pytest.mark.parametrize("header", ["no-store", "max-age=0, no-store, private"])
def test_a_page_that_no_cache_may_keep_is_not_compressed(header):
    page = HttpResponse("<p>row</p>" * 100, headers={"Cache-Control": header})

    assert not is_compressed(answered(page))


def test_an_answer_to_a_form_is_not_compressed():
    assert not is_compressed(answered(method="POST"))


@pytest.mark.parametrize(
    "asked",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "secure": "yes"},
    ],
)
def test_what_another_site_may_have_asked_for_is_not_compressed(asked):
    assert not is_compressed(answered(**asked))


def test_a_page_over_plain_http_is_compressed_although_browsers_do_not_say_who_asked():
    assert is_compressed(answered(**{"Sec-Fetch-Site": ""}))


@pytest.mark.parametrize(
    "response",
    [
        StreamingHttpResponse([b"<p>row</p>" * 100]),
        HttpResponse("row" * 100, content_type="text/plain"),
        HttpResponse(b"PK" * 200, content_type="application/zip"),
    ],
)
def test_downloads_and_streams_stay_as_they_are(response):
    assert not is_compressed(answered(response))


@pytest.mark.django_db
def test_a_page_of_the_list_is_below_its_budget_on_the_wire(
    alice: User,
    client_of: Callable[[User], Client],
    make_deployment: Callable[..., Deployment],
):
    for number in range(50):
        make_deployment(
            description=f"Loads orders of warehouse {number}, " * 12,
            health="unhealthy",
            health_message=f"The scheduler {number} does not answer. " * 12,
        )

    response = client_of(alice).get(LIST, headers=BROWSER)

    assert len(gzip.decompress(response.content)) > MOST_BYTES
    assert len(response.content) < MOST_BYTES / 3
