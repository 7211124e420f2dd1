"""What a door reads of the sessions that a request carries, and what it leaves of them."""

import base64
import json
from typing import Any

import jwt
import pytest
from multidict import CIMultiDict

from apps.dataplane.edge.sessions import AirflowSession, session_in, tokens_in, without_tokens

CLAIMS = {"sub": "bob@example.org", "role": "viewer", "teams": [], "portal_session": "17"}


def token(**changes: Any) -> str:
    return jwt.encode({**CLAIMS, **changes}, "k" * 64, algorithm="HS512")


def raw_token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


def test_a_session_says_who_in_which_role_from_which_sign_in() -> None:
    assert session_in(token()) == AirflowSession("bob@example.org", "viewer", "17")


def test_a_session_made_by_an_older_plugin_names_no_sign_in() -> None:
    old = jwt.encode({"sub": "bob@example.org", "role": "op"}, "k" * 64, algorithm="HS512")

    assert session_in(old) == AirflowSession("bob@example.org", "op", "")


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'"text"', b"7", b"\xff\xfe", b"[" * 3000, b'{"sub": "a"}']
    + [json.dumps({**CLAIMS, "sub": odd}).encode() for odd in (None, 7, ["a"], "a" * 300)]
    + [json.dumps({**CLAIMS, "role": odd}).encode() for odd in ("a\0b", "\ud800", {})],
)
def test_what_is_no_session_is_nobodys(payload: bytes) -> None:
    assert session_in(raw_token(payload)) is None


def test_what_is_no_token_is_nobodys() -> None:
    assert [session_in(text) for text in ("", ".", "a.b", "a.!.c")] == [None] * 4


def test_tokens_are_found_wherever_airflow_takes_one() -> None:
    first, second, third = token(sub="a"), token(sub="b"), token(sub="c")
    headers = CIMultiDict(
        [
            ("Cookie", f"theme=dark; _token={first}; _token = {second}"),
            ("Authorization", f"bEARER  {third}"),
            ("Authorization", "Basic abc"),
        ]
    )

    assert tokens_in(headers) == {first, second, third}


def test_what_is_lost_goes_and_all_else_stays() -> None:
    lost, held = token(role="admin"), token()
    headers = CIMultiDict(
        [
            ("Cookie", f"theme=dark; _token={lost}; _token={held}; other=a=b"),
            ("Authorization", f"Bearer {held}"),
            ("Accept", "text/html"),
        ]
    )

    kept = without_tokens(headers, {lost})

    assert kept["Cookie"] == f"theme=dark; _token={held}; other=a=b"
    assert kept.getall("Authorization") == [f"Bearer {held}"]
    assert kept["Accept"] == "text/html"


@pytest.mark.parametrize(
    "cookie",
    ['_token="{0}"', "\udca0_token={0}", "_token\udc85={0}", "_token={0}=", "_token={0}\\075"]
    + ["_token={0},", "_token=old"],
)
def test_a_cookie_that_airflow_might_read_in_another_way_never_passes(cookie: str) -> None:
    headers = CIMultiDict(Cookie=cookie.format(token()))

    assert "Cookie" not in without_tokens(headers, ())


@pytest.mark.parametrize("value", ["Bearer {0}=", "bearer old", "Bearer", "Bearer {0} x"])
def test_a_bearer_that_is_no_plain_token_never_passes(value: str) -> None:
    headers = CIMultiDict(Authorization=value.format(token()))

    assert "Authorization" not in without_tokens(headers, ())


def test_the_cookie_does_not_take_the_place_of_a_bearer_that_is_lost() -> None:
    lost, held = token(role="admin"), token()
    headers = CIMultiDict(Cookie=f"a=b; _token={held}", Authorization=f"Bearer {lost}")

    assert dict(without_tokens(headers, {lost})) == {"Cookie": "a=b"}


def test_a_request_without_a_session_is_left_as_it_is() -> None:
    headers = CIMultiDict([("Cookie", "theme=dark"), ("Authorization", "Basic abc")])

    assert tokens_in(headers) == set()
    assert dict(without_tokens(headers, ())) == dict(headers)
