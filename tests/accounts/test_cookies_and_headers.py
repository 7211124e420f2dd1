"""What a browser is told when the portal has an https address."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.conftest import PASSWORD

SETTINGS = Path(__file__).resolve().parents[2] / "astro_portal" / "settings.py"
OF_TLS = (
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_NAME",
    "CSRF_COOKIE_SECURE",
    "CSRF_TRUSTED_ORIGINS",
    "SECURE_HSTS_SECONDS",
    "ALLOWED_HOSTS",
)


@pytest.fixture
def browser(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("PORTAL_URL", "https://portal.example.org")
    product = runpy.run_path(str(SETTINGS))
    for name in OF_TLS:
        setattr(settings, name, product[name])
    return Client(SERVER_NAME="portal.example.org", enforce_csrf_checks=True)


def test_cookies_belong_to_this_host_alone_and_scripts_read_none(bob, browser):
    page = browser.get("/accounts/login/", secure=True)
    assert "__Host-csrftoken" in page.cookies
    token = browser.cookies["__Host-csrftoken"].value

    answer = browser.post(
        "/accounts/login/",
        {"login": bob.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
        secure=True,
        headers={"Origin": "https://portal.example.org"},
    )

    assert answer.status_code == 302
    for name in ("__Host-csrftoken", "__Host-sessionid"):
        cookie = browser.cookies[name]
        assert (cookie["secure"], cookie["httponly"]) == (True, True), name
        assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "Lax"), name
    assert {name for name in browser.cookies if not name.startswith("__Host-")} == set()


def test_browsers_are_told_to_come_by_https_alone(db, browser):
    answer = browser.get("/accounts/login/", secure=True)

    assert answer["Strict-Transport-Security"] == "max-age=31536000"
    assert not Client().get("/accounts/login/").has_header("Strict-Transport-Security")


def test_a_form_of_another_site_is_refused(bob, browser):
    browser.get("/accounts/login/", secure=True)
    token = browser.cookies["__Host-csrftoken"].value

    answer = browser.post(
        "/accounts/login/",
        {"login": bob.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
        secure=True,
        headers={"Origin": "https://evil.example.org"},
    )

    assert answer.status_code == 403


def test_pages_run_nothing_but_what_the_portal_serves(db, client):
    policy = client.get("/accounts/login/")["Content-Security-Policy"]
    said = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    assert said["default-src"] == said["base-uri"] == said["frame-ancestors"] == "'none'"
    assert said["script-src"] == said["style-src"] == "'self'"
    assert "unsafe" not in policy
