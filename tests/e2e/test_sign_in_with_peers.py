"""Single sign-on with real identity providers in a real browser, from the first domain to the day
when an identity provider is down.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from django.urls import reverse
from playwright.sync_api import Page

from apps.accounts.models import User
from apps.organizations.models import OrganizationGrant
from apps.sso.models import SSOConnection
from tests.e2e.single_sign_on import (
    NAMES,
    NEWCOMER,
    OWNER,
    begin,
    begin_connection,
    is_in,
    let_an_hour_pass,
    look,
    make_scim_token,
    map_the_group,
    own_the_domain,
    sign_out,
    switch_on,
    with_password,
)
from tests.sso.peers import oidc_provider, simplesamlphp
from tests.sso.peers.processes import PeerMissing

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PEER_PASSWORD = "told to the identity provider alone"
SAML_NAME = "Nordhavn workforce sign-in for everybody in Århus and Odense"
OIDC_NAME = "Partner accounts"


@pytest.fixture
def saml_peer() -> Iterator[simplesamlphp.SimpleSAMLphp]:
    people = {
        key: {
            "password": PEER_PASSWORD,
            "attributes": {
                "mail": [f"{key}@nordhavn.test"],
                "displayName": [name],
                "groups": ["data-eng", "everybody"],
            },
        }
        for key, name in NAMES.items()
    }
    try:
        with simplesamlphp.running(people) as peer:
            yield peer
    except PeerMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def oidc_peer() -> Iterator[oidc_provider.OIDCProvider]:
    people = {
        key: {"email": f"{key}@nordhavn.test", "email_verified": True, "name": name}
        for key, name in NAMES.items()
    }
    try:
        with oidc_provider.running(people) as peer:
            yield peer
    except PeerMissing as error:
        pytest.skip(str(error))


def prove_to_saml(page: Page, peer: simplesamlphp.SimpleSAMLphp, key: str) -> None:
    page.wait_for_url(f"{peer.url}/**")
    page.locator("input[name=username]").fill(key)
    page.locator("input[name=password]").fill(PEER_PASSWORD)
    page.locator("input[name=password]").press("Enter")


def prove_to_oidc(page: Page, peer: oidc_provider.OIDCProvider, key: str) -> None:
    page.wait_for_url(f"{peer.issuer}/interaction/**")
    page.locator("input[name=login]").fill(key)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()


def connect_saml(page: Page, peer: simplesamlphp.SimpleSAMLphp, folder: Path) -> None:
    metadata = folder / "metadata.xml"
    metadata.write_bytes(requests.get(peer.metadata_url, timeout=20).content)
    begin_connection(page, "SAML", SAML_NAME)
    page.get_by_label("Metadata file").set_input_files(metadata)
    look(page, "connection-form-saml")
    page.get_by_role("button", name="Add connection").click()
    page.get_by_text("Test it, then enable it.").wait_for()
    look(page, "connection-untested")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the metadata").click()
    peer.trust(Path(download.value.path()).read_bytes())


def connect_oidc(page: Page, peer: oidc_provider.OIDCProvider) -> None:
    begin_connection(page, "OpenID Connect", OIDC_NAME)
    page.get_by_label("Issuer").fill(f"{peer.issuer}/oauth2/for-the-workforce-of-nordhavn")
    page.get_by_label("Client ID").fill(oidc_provider.CLIENT_ID)
    page.get_by_label("Client secret").fill(oidc_provider.CLIENT_SECRET)
    page.get_by_role("button", name="Add connection").click()
    page.get_by_text("The portal asked for").first.wait_for()
    look(page, "connection-refused")
    page.get_by_label("Issuer").fill(f"{peer.issuer}/.well-known/openid-configuration")
    page.get_by_label("Client secret").fill(f" {oidc_provider.CLIENT_SECRET}\n")
    look(page, "connection-form-oidc")
    page.get_by_role("button", name="Add connection").click()
    page.get_by_text("Test it, then enable it.").wait_for()
    peer.start(redirect_uri=page.locator("#addresses code").first.inner_text())


def enforce(page: Page) -> str:
    """Enforce single sign-on for the domain; return the bypass link made before."""
    page.goto(reverse("sso:overview", args=["nordhavn"]))
    page.get_by_role("button", name="Create bypass link").click()
    link = page.locator("code").inner_text()
    look(page, "bypass-made")
    page.goto(reverse("sso:overview", args=["nordhavn"]))
    page.get_by_role("link", name="Enforce SSO").click()
    look(page, "enforce")
    page.get_by_role("button", name="Enforce single sign-on").click()
    page.get_by_text("through single sign-on alone from now on").wait_for()
    look(page, "overview")
    return link


def test_an_organization_moves_to_single_sign_on_and_survives_its_bad_day(
    open_browser: Callable[[], Page],
    owner: User,
    records: dict[str, str],
    saml_peer: simplesamlphp.SimpleSAMLphp,
    oidc_peer: oidc_provider.OIDCProvider,
    tmp_path: Path,
) -> None:
    page = open_browser()
    begin(page, OWNER)
    with_password(page)
    is_in(page, NAMES["ana"])
    own_the_domain(page, records)

    connect_saml(page, saml_peer, tmp_path)
    page.get_by_role("button", name="Test sign-in").click()
    prove_to_saml(page, saml_peer, "ana")
    switch_on(page, SAML_NAME)
    look(page, "connection-on")
    map_the_group(page, owner)
    connect_oidc(page, oidc_peer)
    page.get_by_role("button", name="Test sign-in").click()
    prove_to_oidc(page, oidc_peer, "ana")
    switch_on(page, OIDC_NAME)
    bypass = enforce(page)
    make_scim_token(page, "Provisioning of the workforce directory")
    look(page, "provisioning")

    a_newcomer_comes_in_by_both(open_browser(), saml_peer, oidc_peer)

    oidc_peer.stop()
    sign_out(page)
    the_bad_day(page, bypass)


def a_newcomer_comes_in_by_both(
    page: Page, saml_peer: simplesamlphp.SimpleSAMLphp, oidc_peer: oidc_provider.OIDCProvider
) -> None:
    page.goto(reverse("account_login"))
    look(page, "sign-in-1")
    begin(page, NEWCOMER)
    look(page, "sign-in-2")
    page.get_by_role("button", name=f"Continue with {SAML_NAME}").click()
    prove_to_saml(page, saml_peer, "dana")
    is_in(page, NAMES["dana"])
    dana = User.objects.get(email=NEWCOMER)
    assert [group.team.name for group in dana.groups.all()] == ["Data engineers"]
    granted = OrganizationGrant.objects.filter(user=dana)
    assert [one.permission.role.key for one in granted] == ["member"]

    sign_out(page)
    begin(page, NEWCOMER)
    page.get_by_role("button", name=f"Continue with {OIDC_NAME}").click()
    prove_to_oidc(page, oidc_peer, "dana")
    is_in(page, NAMES["dana"])
    assert User.objects.filter(name=NAMES["dana"]).count() == 1
    assert dana.socialaccount_set.count() == 2
    assert SSOConnection.objects.filter(used_at__isnull=False).count() == 2
    she_confirms_who_she_is(page, saml_peer)


def she_confirms_who_she_is(page: Page, saml_peer: simplesamlphp.SimpleSAMLphp) -> None:
    """The identity provider remembers her, and is to ask again all the same."""
    let_an_hour_pass(page)
    page.goto(reverse("account_set_password"))
    look(page, "confirm")
    page.get_by_role("button", name=f"Continue with {SAML_NAME}").click()
    prove_to_saml(page, saml_peer, "dana")
    page.wait_for_url(f"**{reverse('account_set_password')}")


def the_bad_day(page: Page, bypass: str) -> None:
    begin(page, OWNER)
    assert page.get_by_label("Password").count() == 0
    page.get_by_role("button", name=f"Continue with {OIDC_NAME}").click()
    page.get_by_text("The identity provider does not answer.").wait_for()
    assert len(page.locator("main .mono").inner_text()) == 8
    look(page, "problem")

    page.goto(bypass)
    look(page, "bypass")
    page.get_by_role("button", name="Sign in with a password").click()
    begin(page, OWNER)
    look(page, "sign-in-2-bypass")
    with_password(page)
    is_in(page, NAMES["ana"])
