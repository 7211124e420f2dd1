"""The sign-in of portal users to a real Airflow, as a browser does it."""

import http.client
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from apps.dataplane.local.layout import Folder, read_state
from tests.dataplane.local_world import LocalWorld, local_world, settle
from tests.dataplane.specs import PORTAL_URL, SIGN_IN_KEY, make_runtime, make_spec

pytestmark = pytest.mark.slow
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module", params=["3.3.2", "3.2.2"])
def world(request: pytest.FixtureRequest) -> Iterator[LocalWorld]:
    with local_world() as world:
        world.spec = make_spec(
            "open-comet", executor="local", queues=(), runtime=make_runtime(request.param)
        )
        settle(lambda: world.plane.apply(spec=world.spec), seconds=400)
        yield world


def call(
    world: LocalWorld, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    state = read_state(Folder(world.home, world.spec.ref))
    connection = http.client.HTTPConnection("127.0.0.1", state.api_port, timeout=20)
    connection.request(method, path, body or None, headers or {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def make_token(**changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": PORTAL_URL,
        "aud": "airflow:open-comet",
        "sub": "alice@example.org",
        "role": "viewer",
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({**claims, **changes}, SIGN_IN_KEY, algorithm="EdDSA")


def sign_in(world: LocalWorld, token: str, target: str = "") -> http.client.HTTPResponse:
    body = urlencode({"token": token, "next": target})
    return call(world, "POST", "/open-comet/auth/portal/callback", body, FORM)


def cookie(response: http.client.HTTPResponse) -> str:
    return response.headers["Set-Cookie"].split(";")[0]


def test_a_visitor_is_sent_to_the_portal(world: LocalWorld):
    target = "/open-comet/dags/welcome"

    response = call(world, "GET", f"/open-comet/api/v2/auth/login?next={target}")

    assert response.status == 307
    assert response.headers["Location"].startswith(f"{PORTAL_URL}/airflow/open-comet/?next=")


def test_a_viewer_sees_dags_but_no_connections(world: LocalWorld):
    response = sign_in(world, make_token(), "/open-comet/dags?x=1")
    headers = {"Cookie": cookie(response)}

    assert response.status == 303
    assert response.headers["Location"] == "/open-comet/dags?x=1"
    assert "Path=/open-comet/" in response.headers["Set-Cookie"]
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert call(world, "GET", "/open-comet/api/v2/dags", headers=headers).status == 200
    assert call(world, "GET", "/open-comet/api/v2/connections", headers=headers).status == 403
    assert call(world, "GET", "/open-comet/api/v2/config", headers=headers).status == 403
    assert call(world, "GET", "/open-comet/api/v2/dags").status == 401


def test_an_admin_sees_connections(world: LocalWorld):
    response = sign_in(world, make_token(role="admin"))

    headers = {"Cookie": cookie(response)}

    assert call(world, "GET", "/open-comet/api/v2/connections", headers=headers).status == 200


def test_a_token_works_once(world: LocalWorld):
    token = make_token()

    first, second = sign_in(world, token), sign_in(world, token)

    assert (first.status, second.status) == (303, 401)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "airflow:other"},
        {"iss": "http://elsewhere.test"},
        {"role": "owner"},
        {"iat": 1, "exp": 2},
        {"exp": 9_999_999_999},
        {"jti": None},
    ],
)
def test_it_refuses_other_tokens(world: LocalWorld, changes: dict[str, Any]):
    assert sign_in(world, make_token(**changes)).status == 401


def test_it_refuses_a_token_signed_by_another(world: LocalWorld):
    assert sign_in(world, jwt.encode({"sub": "eve"}, "s" * 64, algorithm="HS512")).status == 401
    assert sign_in(world, "").status == 401


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.test",
        "//evil.test/open-comet/",
        "/\\evil.test",
        "/other/",
        "/open-comet/../other/",
        "javascript:alert(1)",
        "/open-comet/\r\nX: y",
        "",
    ],
)
def test_it_never_leads_elsewhere(world: LocalWorld, target: str):
    location = sign_in(world, make_token(), target).headers["Location"]

    assert location == "/open-comet/"


def test_signing_out_clears_the_cookie(world: LocalWorld):
    headers = {"Cookie": cookie(sign_in(world, make_token()))}

    first = call(world, "GET", "/open-comet/api/v2/auth/logout", headers=headers)
    second = call(world, "GET", first.headers["Location"], headers=headers)

    assert first.headers["Location"] == "/open-comet/auth/portal/logout"
    assert second.headers["Location"] == f"{PORTAL_URL}/"
    assert "Max-Age=0" in second.headers["Set-Cookie"]
    assert call(world, "GET", "/open-comet/api/v2/dags", headers=headers).status in (401, 403)
