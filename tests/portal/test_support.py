"""Help: whom to ask, and diagnostics that can be sent on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.deployments.models import Deployment
from astro_portal.env import ConfigurationError, env_support
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db


def test_help_says_whom_to_ask(bob: User, client_of: Callable[[User], Client], settings: Any):
    client = client_of(bob)
    settings.SUPPORT = "help@example.org"

    text = client.get("/help/?request=ab-12%22%3E<script>").content.decode()

    check_page(text)
    assert "mailto:help@example.org?subject=" in text
    assert "ab-12script" in text
    settings.SUPPORT = "https://issues.example.org/new"
    assert 'href="https://issues.example.org/new"' in client.get("/help/").content.decode()
    settings.SUPPORT = ""
    assert "PORTAL_SUPPORT" in client.get("/help/").content.decode()


def test_an_error_page_leads_to_help_with_its_id(bob: User, client_of: Callable[[User], Client]):
    response = client_of(bob).get("/nowhere/")

    assert f"/help/?request={response.wsgi_request.request_id}" in response.content.decode()


def test_diagnostics_hold_numbers_and_no_names(
    alice: User, bob: User, deployment: Deployment, client_of: Callable[[User], Client]
):
    alice.is_operator = True
    alice.save()
    deployment.name = "a-name-that-people-chose"
    deployment.save()

    response = client_of(alice).get("/help/diagnostics/?request=ab12")

    found = json.loads(response.content)
    assert found["request"] == "ab12"
    assert found["installation"]["counts"]["deployments_by_phase"] == {"active": 1}
    text = response.content.decode()
    for name in (deployment.name, deployment.ref, alice.email, "nordhavn"):
        assert name not in text
    assert "installation" not in json.loads(client_of(bob).get("/help/diagnostics/").content)


@pytest.mark.parametrize("value", ["help", "http://x.example", "a b@example.org", "x@y?cc=z.org"])
def test_a_wrong_address_of_the_operator_is_refused(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORTAL_SUPPORT", value)

    with pytest.raises(ConfigurationError):
        env_support("PORTAL_SUPPORT")
