from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from apps.access.grants.services import grant
from apps.accounts.models import User
from apps.organizations.models import Organization
from tests.conftest import PASSWORD, role
from tests.e2e.browser import new_context
from tests.e2e.single_sign_on import NAMES, OWNER
from tests.sso.dns_server import name_server

LOOPBACK = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def records(settings: Any, live_server: Any) -> Iterator[dict[str, str]]:
    settings.SSO_ALLOWS_HTTP = True
    settings.SSO_NETWORKS = LOOPBACK
    settings.PORTAL_URL = live_server.url
    with name_server() as (address, records):
        settings.DNS_SERVERS = [address]
        yield records


@pytest.fixture
def owner(organization: Organization) -> User:
    user = User.objects.create_user(OWNER, PASSWORD, name=NAMES["ana"])
    grant(actor=None, user=user, role=role("organization", "owner"), on=organization)
    return user


@pytest.fixture
def open_browser(browser: Any, live_server: Any) -> Iterator[Callable[[], Page]]:
    contexts = []

    def start() -> Page:
        contexts.append(new_context(browser, base_url=live_server.url))
        page: Page = contexts[-1].new_page()
        return page

    yield start
    for context in contexts:
        context.close()
