from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from apps.core.middleware import BelieveNamedProxies, client_address

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
