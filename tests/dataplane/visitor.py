"""A browser that signs in to a Deployment's Airflow: tokens of the portal, cookies, redirects."""

import http.client
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import jwt

from apps.dataplane.local.layout import Folder, read_state
from tests.dataplane.local_world import LocalWorld
from tests.dataplane.specs import PORTAL_URL, SIGN_IN_KEY

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": PORTAL_URL}
WRONG_CLAIMS: list[dict[str, Any]] = [
    {"aud": "airflow:other"},
    {"iss": "http://elsewhere.test"},
    {"role": "owner"},
    {"iat": 1, "exp": 2},
    {"exp": 9_999_999_999},
    {"jti": None},
]


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


def make_token(ref: str = "open-comet", **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": PORTAL_URL,
        "aud": f"airflow:{ref}",
        "sub": "alice@example.org",
        "role": "viewer",
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(8),
    }
    return jwt.encode({**claims, **changes}, SIGN_IN_KEY, algorithm="EdDSA")


def sign_in(
    world: LocalWorld, token: str, target: str = "", headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    body = urlencode({"token": token, "next": target})
    path = f"/{world.spec.ref}/auth/portal/callback"
    return call(world, "POST", path, body, FORM if headers is None else headers)


def cookie(response: http.client.HTTPResponse) -> str:
    return response.headers["Set-Cookie"].split(";")[0]
