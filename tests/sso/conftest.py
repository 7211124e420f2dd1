import base64
import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.organizations.models import Organization
from apps.sso.models import Domain, SSOConnection
from apps.sso.scim.tokens import create_scim_token
from tests.sso import identity_provider
from tests.sso.provisioning import SCIM


@pytest.fixture
def domain(organization: Organization) -> Domain:
    return Domain.objects.create(
        organization=organization, name="nordhavn.test", token="t1", verified_at=timezone.now()
    )


@pytest.fixture
def saml(organization: Organization, domain: Domain) -> SSOConnection:
    return SSOConnection.objects.create(
        organization=organization,
        key="nordhavn-saml",
        protocol="saml",
        name="Nordhavn",
        config={
            "entity_id": identity_provider.ENTITY_ID,
            "sso_url": identity_provider.SSO_URL,
            "certificates": [identity_provider.make_signer().certificate],
        },
        default_role="member",
        is_enabled=True,
        tested_at=timezone.now(),
        approved_at=timezone.now(),
    )


@pytest.fixture
def token(alice: User, organization: Organization) -> str:
    return create_scim_token(actor=alice, organization=organization, name="Okta")


@pytest.fixture
def scim(token: str, domain: Domain) -> Callable[..., Any]:
    """Call the provisioning endpoint as the identity provider does."""

    def call(method: str, path: str, body: Any = None, bearer: str = token) -> Any:
        return Client().generic(
            method,
            f"/scim/nordhavn/v2/{path}",
            json.dumps(body) if body is not None else "",
            content_type=SCIM,
            headers={"Authorization": f"Bearer {bearer}"},
        )

    return call


def way_out(response: Any) -> str:
    """Return the address that a page leaves for."""
    page = response.content.decode()
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page)
    assert found, page
    return html.unescape(found[1])


def words_of(response: Any) -> str:
    return " ".join(html.unescape(response.content.decode()).split())


def logged_reason(caplog: pytest.LogCaptureFixture, page: str) -> str:
    """Return what the log says of the error id that a page shows, empty if it knows none."""
    shown = re.search(r'error ID: <span class="mono">([0-9a-f]{8})</span>', page)
    reasons = {getattr(one, "error_id", ""): one for one in caplog.records}
    return str(vars(reasons[shown[1]])["reason"]) if shown and shown[1] in reasons else ""


@dataclass
class Browser:
    """A visitor who goes through a SAML connection."""

    connection: SSOConnection
    client: Client

    @property
    def base(self) -> str:
        return settings.PORTAL_URL + reverse("sso:start", args=[self.connection.key])

    def leave(self, **posted: Any) -> str:
        """Begin to sign in; return the id of the request that was sent."""
        response = self.client.post(reverse("sso:start", args=[self.connection.key]), posted)
        return identity_provider.request_id(way_out(response))

    def come_back(self, xml: bytes) -> Any:
        """Bring an answer; return the last response."""
        acs = reverse("sso:acs", args=[self.connection.key])
        posted = {"SAMLResponse": base64.b64encode(xml).decode(), "RelayState": "https://evil.test"}
        response = self.client.post(acs, posted)
        if response.status_code == 302:
            response = self.client.get(response["Location"])
        return response

    def sign_in(self, **changes: Any) -> Any:
        asked = self.leave()
        return self.come_back(identity_provider.answer(base=self.base, asked=asked, **changes))

    @property
    def user_id(self) -> str | None:
        return self.client.session.get("_auth_user_id")


@pytest.fixture
def browser(saml: SSOConnection) -> Browser:
    return Browser(saml, Client())


@pytest.fixture
def new_browser(saml: SSOConnection) -> Callable[[], Browser]:
    return lambda: Browser(saml, Client())
