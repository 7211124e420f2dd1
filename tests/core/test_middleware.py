import threading
from typing import Any

import pytest
from django.core.exceptions import BadRequest
from django.db import DataError, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.test import Client, RequestFactory

from apps.accounts.models import User
from apps.core.web.middleware import (
    BelieveNamedProxies,
    LimitUploads,
    RefuseUnstorableText,
    client_address,
)

FORGED = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_FORWARDED": "for=203.0.113.9;proto=https",
    "HTTP_X_REAL_IP": "203.0.113.9",
}


@pytest.mark.parametrize(
    ("proxies", "peer", "is_believed"),
    [
        (1, "10.1.2.3", True),
        (1, "::ffff:10.1.2.3", True),
        (1, "10.2.0.1", False),
        (1, "::ffff:10.2.0.1", False),
        (1, "127.0.0.1", False),
        (1, "", False),
        (1, "unix:", False),
        (0, "10.1.2.3", False),
    ],
)
def test_only_a_named_proxy_says_for_whom_it_asks(
    proxies: int, peer: str, is_believed: bool, settings: Any
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    settings.TRUSTED_PROXY_NETWORKS = ["10.1.0.0/16"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **FORGED)
    raw = client_address(request)
    seen: list[HttpRequest] = []

    BelieveNamedProxies(lambda one: seen.append(one) or HttpResponse())(request)  # type: ignore[func-returns-value]

    [passed] = seen
    assert (client_address(passed) == "203.0.113.9") is is_believed
    assert raw == client_address(passed)
    assert passed.is_secure() is is_believed
    assert bool(FORGED.keys() & passed.META.keys()) is is_believed


@pytest.mark.django_db
def test_a_pod_that_forges_the_header_is_counted_by_its_own_address(
    client: Client, settings: Any
) -> None:
    """The whole way, in the order of the real middleware."""
    settings.TRUSTED_PROXY_COUNT = 1
    settings.TRUSTED_PROXY_NETWORKS = ["10.1.0.0/16"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    response = client.get("/healthz", REMOTE_ADDR="10.9.9.9", **FORGED)

    request = response.wsgi_request
    assert client_address(request) == "10.9.9.9"
    assert not request.is_secure()


@pytest.mark.parametrize(
    "path", ["/search?q=a%00b", "/healthz?%00", "/o/nordhavn/audit/?actor=%00"]
)
def test_a_query_with_a_nul_byte_is_refused_before_it_reaches_the_database(
    path: str, client: Client
) -> None:
    response = client.get(path)

    assert response.status_code == 400
    assert response["X-Request-ID"] in response.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/setup/%00/",
        "/invitations/a%00b/",
        "/accounts/password/reset/key/1-%00/",
        "/docs/%00/",
        "/scim/nordhavn/v2/Users/%00",
        "/%00",
    ],
)
def test_an_address_with_a_nul_byte_is_refused(path: str, client: Client) -> None:
    assert client.get(path).status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_no_column_holds_is_bad_input_wherever_it_came_from(text: str) -> None:
    refuse = RefuseUnstorableText(lambda _: HttpResponse())
    with pytest.raises((ValueError, DataError)) as caught, transaction.atomic():
        User.objects.filter(email=text).exists()

    with pytest.raises(BadRequest):
        refuse.process_exception(RequestFactory().get("/"), caught.value)


def test_other_errors_stay_what_they_are() -> None:
    refuse = RefuseUnstorableText(lambda _: HttpResponse())

    assert refuse.process_exception(RequestFactory().get("/"), ValueError("a fault")) is None


@pytest.mark.django_db
def test_a_field_with_text_that_no_column_holds_is_refused(alice, client_of) -> None:
    response = client_of(alice).post("/account/", {"name": "a\0b", "time_zone": "UTC"})

    assert response.status_code == 422


def test_few_uploads_at_once_leave_threads_for_pages(settings) -> None:
    settings.UPLOADS_AT_ONCE = 2
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def answer(request):
        if request.method == "POST":
            begun.release()
            go_on.wait(10)
        return HttpResponse("done")

    limited = LimitUploads(answer)

    def upload(**headers):
        request = RequestFactory().post("/x", b"", "multipart/form-data; boundary=x")
        request.META |= {"CONTENT_LENGTH": "1000000", **headers}
        return limited(request)

    threads = [threading.Thread(target=upload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=10)

    refused = upload()
    of_unknown_length = upload(CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    page = limited(RequestFactory().get("/"))
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert b"Too many uploads at once" in refused.content
    assert of_unknown_length.status_code == 503
    assert page.status_code == 200
    assert upload().status_code == 200


def test_a_client_that_left_or_was_too_slow_is_no_error_of_ours() -> None:
    limited = LimitUploads(lambda request: HttpResponse())
    request = RequestFactory().post("/")

    gone = limited.process_exception(request, UnreadablePostError("gone"))

    assert gone is not None
    assert gone.status_code == 408
    assert limited.process_exception(request, ValueError()) is None
