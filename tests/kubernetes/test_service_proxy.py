"""What the gateway takes away and undoes, without a cluster."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict

from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy import service_proxy

CLUSTER = Connection(server="https://k8s.test:6443", ca_certificate="", token="cluster-token")
BEHIND_A_DOOR = Connection(server="https://door.test/k8s/c-1", ca_certificate="", token="t")
PREFIX = "/api/v1/namespaces/airflow-dep1/services/api-server:8080/proxy"


def sent(**headers: str) -> CIMultiDict[str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return service_proxy.for_cluster(CIMultiDict(named), CLUSTER)


def answered(*headers: tuple[str, str], had_token: bool = False) -> CIMultiDict[str]:
    return service_proxy.for_browser(CIMultiDict(headers), CLUSTER, ref="dep1", had_token=had_token)


def own_html(*pieces: bytes, encoding: str = "", connection: Connection = CLUSTER) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def run() -> bytes:
        html = service_proxy.own_html(chunks(), connection, ref="dep1", encoding=encoding)
        return b"".join([piece async for piece in html])

    return asyncio.run(run())


@pytest.mark.parametrize(
    "name",
    ["Impersonate-User", "impersonate-group", "Impersonate-Extra-Scopes", "X-Remote-User", "Host"]
    + ["X-Remote-Group", "Sec-WebSocket-Protocol", "Audit-ID"],
)
def test_nobody_acts_as_somebody_else_in_the_cluster(name: str) -> None:
    kept = service_proxy.for_cluster(CIMultiDict({name: "system:masters"}), CLUSTER)

    assert name not in kept


def test_a_token_for_airflow_becomes_its_session_and_wins_over_the_cookie() -> None:
    kept = sent(Authorization="Bearer abc.def", Cookie="theme=dark; _token=old")

    assert kept["Authorization"] == "Bearer cluster-token"
    assert kept["Cookie"] == "theme=dark; _token=abc.def"


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer a b", "Bearer a;b=c", "abc"])
def test_a_credential_that_is_no_token_signs_nobody_in(value: str) -> None:
    kept = sent(Authorization=value, Cookie="_token=mine")

    assert "Cookie" not in kept


def test_a_client_certificate_leaves_no_authorization() -> None:
    by_certificate = Connection(server="https://k8s.test", ca_certificate="")

    kept = service_proxy.for_cluster(CIMultiDict({"Authorization": "Bearer a"}), by_certificate)

    assert "Authorization" not in kept


def test_only_what_the_proxy_can_unpack_is_asked_for() -> None:
    assert sent(Accept_Encoding="gzip, br, zstd")["Accept-Encoding"] == "gzip"
    assert sent(Accept_Encoding="br")["Accept-Encoding"] == "identity"
    assert sent()["Accept-Encoding"] == "identity"


def test_what_the_api_server_adds_is_not_shown() -> None:
    kept = answered(
        ("Audit-Id", "1"),
        ("X-Kubernetes-Pf-Flowschema-Uid", "1"),
        ("Warning", "299 - deprecated"),
        ("Cache-Control", "no-cache, private"),
        ("Cache-Control", "max-age=60"),
        ("Content-Type", "text/css"),
    )

    assert dict(kept) == {"Content-Type": "text/css", "Cache-Control": "max-age=60"}


def test_the_caching_that_stands_alone_stays() -> None:
    assert answered(("Cache-Control", "no-cache, private"))["Cache-Control"] == "no-cache, private"


def test_a_token_in_a_request_changes_no_session_of_the_browser() -> None:
    cookies = [("Set-Cookie", "_token=; Path=/dep1/; Max-Age=0"), ("Set-Cookie", "a=1")]

    assert answered(*cookies).getall("Set-Cookie") == [value for _, value in cookies]
    assert answered(*cookies, had_token=True).getall("Set-Cookie") == ["a=1"]


@pytest.mark.parametrize(
    ("location", "own"),
    [
        (f"{PREFIX}/dep1/home?a=1", "/dep1/home?a=1"),
        (f"https://k8s.test:6443{PREFIX}/dep1/", "/dep1/"),
        ("https://k8s.test:6443/dep1/x", "/dep1/x"),
        ("https://portal.test/airflow/dep1/", "https://portal.test/airflow/dep1/"),
        ("../elsewhere", "../elsewhere"),
        ("http://[bad", "http://[bad"),
        (f"{PREFIX}x/dep1/", f"{PREFIX}x/dep1/"),
    ],
)
def test_redirects_stay_in_the_browsers_address(location: str, own: str) -> None:
    assert service_proxy.own_location(location, CLUSTER, ref="dep1") == own


def test_a_door_before_the_cluster_may_add_a_path_of_its_own() -> None:
    location = f"https://door.test/k8s/c-1{PREFIX}/dep1/"

    assert service_proxy.own_location(location, BEHIND_A_DOOR, ref="dep1") == "/dep1/"
    assert own_html(f'<a href="/k8s/c-1{PREFIX}/dep1/">'.encode(), connection=BEHIND_A_DOOR) == (
        b'<a href="/dep1/">'
    )


def test_addresses_in_html_are_the_airflows_again_wherever_it_is_cut() -> None:
    page = f'<base href="{PREFIX}/dep1/"><p>Read {PREFIX}/dep1/</p>'.encode()
    own = f'<base href="/dep1/"><p>Read {PREFIX}/dep1/</p>'.encode()

    assert own_html(page) == own
    assert own_html(*(page[at : at + 1] for at in range(len(page)))) == own
    assert own_html(page[:40], page[40:]) == own
    assert own_html(gzip.compress(page), encoding="gzip") == own
    assert own_html() == b""


def test_a_packed_page_that_is_damaged_is_an_error() -> None:
    with pytest.raises(OSError, match="not what its headers say"):
        own_html(b"no gzip", encoding="gzip")


def test_only_html_that_the_proxy_can_change_is_changed_back() -> None:
    kept = answered(("Content-Type", "text/html; charset=utf-8"), ("Content-Length", "9"))

    assert "Content-Length" not in kept
    assert not service_proxy.is_html(CIMultiDict({"Content-Type": "application/json"}))
    packed = {"Content-Type": "text/html", "Content-Encoding": "br"}
    assert not service_proxy.is_html(CIMultiDict(packed))


def test_an_answer_of_the_api_server_is_told_from_one_of_airflow() -> None:
    status = json.dumps({"kind": "Status", "apiVersion": "v1", "message": "no endpoints"}).encode()

    refused = service_proxy.refusal(503, "application/json", status)

    assert refused == service_proxy.Refusal(503, "no endpoints")
    assert service_proxy.refusal(403, "application/yaml", b"kind: Status") is not None
    assert service_proxy.refusal(429, "text/plain; charset=utf-8", b"Too many") is not None
    assert service_proxy.refusal(404, "application/json", b'{"detail": "no"}') is None
    assert service_proxy.refusal(500, "application/json", b"[1]") is None
    assert service_proxy.refusal(500, "application/json", b"{half") is None
    assert service_proxy.refusal(404, "text/plain", b"gone") is None


@pytest.mark.parametrize(
    ("message", "is_closed"),
    [
        ("error trying to reach service: dial tcp 10.0.3.7:8080: i/o timeout", True),
        ("error trying to reach service: dial tcp 10.0.3.7:8080: connect: no route to host", True),
        ("error trying to reach service: context deadline exceeded", True),
        ("error trying to reach service: No agent available", True),
        ("error trying to reach service: dial timeout, backstop", True),
        (
            "error trying to reach service: proxy error from 127.0.0.1:6443 while dialing "
            "10.42.1.6:8080, code 502: 502 Bad Gateway",
            True,
        ),
        ("error trying to reach service: dial tcp 10.0.3.7:8080: connect: refused", False),
        ('no endpoints available for service "api-server:8080"', False),
        ("i/o timeout", False),
    ],
)
def test_a_closed_way_is_told_from_an_airflow_that_starts(message: str, is_closed: bool) -> None:
    assert service_proxy.is_way_closed(service_proxy.Refusal(503, message)) is is_closed
