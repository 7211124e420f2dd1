"""Sign-in by OpenID Connect: who comes in, and every answer that must sign nobody in."""

import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.organizations.models import Organization
from apps.sso.connections.services import (
    client_secret_of,
    create_connection,
    update_connection,
)
from apps.sso.models import Domain, SSOConnection
from apps.sso.protocols.identity_providers import discover
from apps.sso.protocols.outgoing import OutgoingFailed, fetch
from tests.sso.conftest import logged_reason, way_out, words_of
from tests.sso.identity_provider import Signer, make_signer
from tests.sso.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIDProvider, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Any) -> Iterator[OpenIDProvider]:
    settings.SSO_ALLOWS_HTTP = True
    settings.SSO_NETWORKS = ("127.0.0.0/8",)
    with running() as found:
        yield found


@pytest.fixture
def connection(
    provider: OpenIDProvider, organization: Organization, domain: Domain, alice: User
) -> SSOConnection:
    connection = create_connection(
        actor=alice,
        organization=organization,
        protocol="openid_connect",
        name="Nordhavn ID",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        default_role="member",
        config={"issuer": provider.issuer},
    )
    connection.tested_at = timezone.now()
    connection.is_enabled = True
    connection.save()
    return connection


def sign_in(provider: OpenIDProvider, connection: SSOConnection, client: Client) -> Any:
    left = client.post(reverse("sso:start", args=[connection.key]))
    back = provider.authorize(way_out(left))
    return client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")


def user_of(client: Client) -> User | None:
    return User.objects.filter(pk=client.session.get("_auth_user_id")).first()


def test_a_newcomer_comes_in_with_pkce_and_nonce(
    provider: OpenIDProvider, connection: SSOConnection, client: Client
) -> None:
    response = sign_in(provider, connection, client)

    assert response.status_code == 302, response.content
    found = user_of(client)
    assert found
    assert (found.email, found.name) == ("dana@nordhavn.test", "Dana")
    assert len(provider.posted["code_verifier"]) >= 43


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        (["openid", "groups"], "email groups openid profile"),
        (["openid", "offline_access"], "email openid profile"),
        ("groups", "email openid profile"),
    ],
)
def test_groups_are_asked_for_where_they_are_offered(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, offered: Any, asked: str
) -> None:
    provider.bend = {"configuration": {"scopes_supported": offered}}
    SSOConnection.objects.update(config=discover(issuer=provider.issuer))

    left = client.post(reverse("sso:start", args=[connection.key]))

    scope = parse_qs(urlsplit(way_out(left)).query)["scope"][0]
    assert " ".join(sorted(scope.split())) == asked


def test_the_secret_is_sealed_at_rest(connection: SSOConnection) -> None:
    assert CLIENT_SECRET.encode() not in bytes(connection.client_secret)
    assert CLIENT_SECRET not in str(connection.config)


@pytest.mark.parametrize(
    "change", [{"issuer": "https://evil.test"}, {"ca_certificate": "of another CA"}]
)
def test_the_secret_goes_to_no_server_that_it_was_not_entered_for(
    connection: SSOConnection, alice: User, change: dict[str, str]
) -> None:
    config = {**connection.config, **change}
    with pytest.raises(Invalid, match="Enter the client secret again") as refused:
        update_connection(actor=alice, connection=connection, config=config, replaces=True)
    assert refused.value.field == "client_secret"
    connection.refresh_from_db()
    assert client_secret_of(connection) == CLIENT_SECRET

    fields = {"config": config, "client_secret": "another", "replaces": True}
    update_connection(actor=alice, connection=connection, **fields)
    update_connection(actor=alice, connection=connection, config={**config, "scopes": ["openid"]})

    connection.refresh_from_db()
    assert client_secret_of(connection) == "another"


LATE, ELSEWHERE = "compare those of both machines", "not in a verified domain of"
BENT: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"id_token": {"iss": "https://evil.test"}}, "names another issuer"),
    "another audience": ({"id_token": {"aud": "other"}}, "an owner has to check the client ID"),
    "ended": ({"id_token": {"exp": 1}}, LATE),
    "ended two minutes ago": ({"id_token": {"exp": time.time() - 120}}, LATE),
    "from the future": ({"id_token": {"iat": time.time() + 3600}}, "compare the clocks of both"),
    "without an end": ({"id_token": {"exp": None}}, "not a valid ID token"),
    "another nonce": ({"id_token": {"nonce": "other"}}, "does not answer this sign-in"),
    "no nonce": ({"id_token": {"nonce": None}}, "does not answer this sign-in"),
    "another key": (
        {"key": rsa.generate_private_key(public_exponent=65537, key_size=2048)},
        "is not the identity provider",
    ),
    "no signature": ({"key": None, "algorithm": "none"}, "not a valid ID token"),
    "signed with the client secret": (
        {"key": CLIENT_SECRET * 2, "algorithm": "HS256"},
        "not a valid ID token",
    ),
    "an address that is not verified": (
        {"userinfo": {"email_verified": False}},
        "Verify it there, or ask an owner",
    ),
    "a verified address beside another one": (
        {
            "id_token": {"email": "x@nordhavn.test", "email_verified": True},
            "userinfo": {"email": "dana@nordhavn.test", "email_verified": "false"},
        },
        "Verify it there, or ask an owner",
    ),
    "a key that is not published": ({"kid": "k9"}, "is not the identity provider"),
    "a key for encryption": ({"published": {"use": "enc"}}, "is not the identity provider"),
    "no ID token": ({"without": ["id_token"]}, "sent no ID token"),
    "no access token": ({"without": ["access_token"]}, "revoked its answer"),
    "another client secret": ({"client_secret": "other"}, "write the current ones into it"),
    "user info of another person": (
        {"userinfo": {"sub": "u-2", "email": "x@nordhavn.test"}},
        "about another person",
    ),
    "an address elsewhere": ({"userinfo": {"email": "dana@evil.test"}}, ELSEWHERE),
    "an address that is no text": (
        {"userinfo": {"email": ["a", "b"], "name": {"x": 1}}},
        "sent no email address",
    ),
    "no address": (
        {"userinfo": {"email": ""}, "id_token": {"email": ""}},
        "sent no email address",
    ),
}


@pytest.mark.parametrize(("bent", "message"), BENT.values(), ids=BENT)
def test_a_bent_answer_signs_nobody_in_and_says_why(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    bent: dict[str, Any],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.bend = bent

    response = sign_in(provider, connection, client)

    page = words_of(response)
    assert user_of(client) is None
    assert response.status_code in (400, 403)
    assert "You are not signed in" in page
    assert message in page
    assert logged_reason(caplog, page)
    assert CLIENT_SECRET not in page + caplog.text
    assert not re.search("eyJ[A-Za-z0-9_-]{20}", caplog.text + str(vars(caplog.records[-1])))


@pytest.mark.parametrize(
    "bend",
    [{"kid": None}, {"published": {"kid": None}}, {"kid": None, "published": {"kid": None}}],
)
def test_a_key_without_an_id_is_tried(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, bend: dict[str, Any]
) -> None:
    provider.bend = bend

    sign_in(provider, connection, client)

    assert user_of(client)


@pytest.mark.parametrize("reason", ["", "Only administrators write addresses."])
def test_an_owner_says_why_addresses_are_verified(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, reason: str
) -> None:
    SSOConnection.objects.update(addresses_verified_because=reason)
    provider.claims["email_verified"] = False

    sign_in(provider, connection, client)

    assert bool(user_of(client)) is bool(reason)


@pytest.mark.parametrize(
    ("claims", "comes_in"),
    [
        ({"email_verified": True, "hd": "nordhavn.test"}, True),
        ({"email_verified": True}, False),
        ({"email_verified": True, "hd": "evil.test"}, False),
    ],
)
def test_google_has_to_say_that_the_organization_manages_the_account(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    claims: dict[str, Any],
    comes_in: bool,
) -> None:
    monkeypatch.setattr("apps.sso.protocols.vocabulary.GOOGLE", {provider.issuer})
    provider.claims |= claims

    sign_in(provider, connection, client)

    assert bool(user_of(client)) is comes_in


@pytest.mark.parametrize(
    ("seconds", "is_confirmed"),
    [(0, True), (-30, True), (-3 * 24 * 3600, False), (3600, False), (None, False), (True, False)],
)
def test_a_confirmation_is_as_fresh_as_it_was_asked_for(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    seconds: Any,
    is_confirmed: bool,
) -> None:
    sign_in(provider, connection, client)
    client.get("/account/")
    session = client.session
    session["signed_in_at"] = time.time() - 3600
    session.save()
    at = time.time() + seconds if type(seconds) is int else seconds
    provider.bend = {"id_token": {"auth_time": at}} if at is not None else {}

    left = client.post(reverse("sso:confirm_at", args=[connection.key]))
    asked = parse_qs(urlsplit(way_out(left)).query)
    back = provider.authorize(way_out(left))
    client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")

    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    assert ("confirmed_at" in client.session) is is_confirmed


def test_clocks_may_differ_by_what_clocks_differ(
    provider: OpenIDProvider, connection: SSOConnection, client: Client
) -> None:
    now = time.time()
    provider.bend = {"id_token": {"iat": now + 30, "exp": now - 30}}

    sign_in(provider, connection, client)

    assert user_of(client)


def test_a_code_or_state_of_another_browser_signs_nobody_in(
    provider: OpenIDProvider, connection: SSOConnection, client: Client
) -> None:
    left = client.post(reverse("sso:start", args=[connection.key]))
    back = provider.authorize(way_out(left))

    victim = Client()
    response = victim.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")

    assert response.status_code in (400, 403)
    assert user_of(victim) is None


@pytest.mark.parametrize(
    "query", ["", "error=access_denied", "state=x", "code=1", "state=x&code=1"]
)
def test_a_callback_out_of_the_blue_is_a_page(
    connection: SSOConnection, client: Client, query: str
) -> None:
    response = client.get(f"{reverse('sso:callback', args=[connection.key])}?{query}")

    assert response.status_code in (400, 403)
    assert "belongs to a sign-in that did not begin in this browser" in words_of(response)


@pytest.mark.parametrize(
    ("sent", "message", "reason"),
    [
        ("access_denied", "The sign-in was cancelled", "sent back: access_denied"),
        ("server_error", "answered with an error", "sent back: server_error"),
        ("<script>x", "answered with an error", "sent back: an error without a code"),
        ("", "answered with an error", "sent back: an error without a code"),
    ],
)
def test_an_error_that_the_identity_provider_sends_back_is_said_and_logged(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    sent: str,
    message: str,
    reason: str,
) -> None:
    left = client.post(reverse("sso:start", args=[connection.key]))
    state = parse_qs(urlsplit(way_out(left)).query)["state"][0]

    callback = reverse("sso:callback", args=[connection.key])
    page = words_of(client.get(callback, {"state": state, "error": sent}))

    assert message in page
    assert logged_reason(caplog, page) == reason


def test_an_identity_provider_that_is_down_is_said(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    SSOConnection.objects.update(config={"issuer": "http://127.0.0.1:9"})

    page = words_of(client.post(reverse("sso:start", args=[connection.key])))

    assert "The identity provider does not answer. Try again in a moment." in page
    assert "has a bypass link" in page
    assert logged_reason(caplog, page)


@pytest.mark.parametrize("asked", ["configuration", "token", "userinfo", "keys"])
def test_an_identity_provider_that_went_down_during_the_sign_in_is_said(
    provider: OpenIDProvider,
    connection: SSOConnection,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    asked: str,
) -> None:
    left = client.post(reverse("sso:start", args=[connection.key]))
    back = provider.authorize(way_out(left))
    nowhere = {
        "configuration": {},
        "token": {"token_endpoint": "http://127.0.0.1:9/token"},
        "userinfo": {"userinfo_endpoint": "http://127.0.0.1:9/userinfo"},
        "keys": {"jwks_uri": "http://127.0.0.1:9/keys"},
    }
    provider.bend = {"configuration": nowhere[asked]}
    if asked == "configuration":
        SSOConnection.objects.update(config={"issuer": "http://127.0.0.1:9"})

    callback = f"{reverse('sso:callback', args=[connection.key])}?{back}"
    page = words_of(client.get(callback))

    assert user_of(client) is None
    assert "The identity provider does not answer. Try again in a moment." in page
    assert logged_reason(caplog, page)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/userinfo"])
def test_what_an_identity_provider_nests_without_end_is_said(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, path: str
) -> None:
    left = client.post(reverse("sso:start", args=[connection.key]))
    back = provider.authorize(way_out(left))
    provider.bend = {"nested": path}

    page = words_of(client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}"))

    assert user_of(client) is None
    assert "sent something that is not OpenID Connect" in page


def test_a_server_certificate_that_ended_is_said(
    connection: SSOConnection,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    with serving_tls(make_signer("expired", days=-1), tmp_path) as issuer:
        SSOConnection.objects.update(config={"issuer": issuer})
        page = words_of(client.post(reverse("sso:start", args=[connection.key])))

    assert "certificate of the identity provider's server has expired" in page
    assert "has to renew it" in page
    assert logged_reason(caplog, page)


def test_a_server_certificate_of_a_private_ca_is_trusted_once_the_operator_names_it(
    tmp_path: Path, settings: Any
) -> None:
    settings.SSO_NETWORKS = ("127.0.0.0/8",)
    signer = make_signer("private", address="127.0.0.1")
    with serving_tls(signer, tmp_path) as issuer:
        with pytest.raises(OutgoingFailed, match="does not answer as it should"):
            fetch(f"{issuer}/")
        settings.SSO_CA = signer.certificate
        with pytest.raises(OutgoingFailed, match="status 501"):
            fetch(f"{issuer}/")
        settings.SSO_CA = make_signer("another").certificate
        with pytest.raises(OutgoingFailed, match="does not answer as it should"):
            fetch(f"{issuer}/")


def test_a_connection_trusts_its_own_private_ca_and_no_other_one_does(
    connection: SSOConnection, client: Client, tmp_path: Path
) -> None:
    signer = make_signer("private", address="127.0.0.1")
    (tmp_path / "chain.pem").write_text(signer.key + signer.certificate)
    with running(tmp_path / "chain.pem") as private:
        with pytest.raises(Invalid, match="does not answer as it should"):
            discover(issuer=private.issuer)
        trusting = discover(issuer=private.issuer, ca=signer.certificate)
        SSOConnection.objects.update(config=trusting)

        assert sign_in(private, connection, client).status_code == 302
        assert user_of(client)

        SSOConnection.objects.update(config={**trusting, "ca_certificate": ""})
        page = words_of(Client().post(reverse("sso:start", args=[connection.key])))
        assert "certificate of the identity provider's server" in page


@pytest.mark.parametrize(
    "text", ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(Invalid, match="This is no certificate") as refused:
        discover(issuer="https://id.example.org", ca=text)

    assert refused.value.field == "ca_certificate"


def test_a_certificate_may_be_given_without_its_frame_and_with_the_line_ends_of_windows(
    provider: OpenIDProvider,
) -> None:
    pem = make_signer("private").certificate
    body = "".join(pem.split("-----")[2].split())

    for text in (pem.replace("\n", "\r\n"), body, pem.split("-----")[2], f"\ufeff{pem}"):
        assert discover(issuer=provider.issuer, ca=text)["ca_certificate"] == pem


@pytest.mark.parametrize("more", ["", "/"])
@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        "{}/",
        " {}\n",
        "{}/.well-known/openid-configuration",
        "{}/.well-known/openid-configuration/",
    ],
)
def test_an_issuer_is_taken_as_its_server_states_it(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, pasted: str, more: str
) -> None:
    pasted = pasted.format(provider.issuer)
    provider.issuer += more
    provider.bend = {
        "configuration": {
            name: f"{provider.issuer.rstrip('/')}/{path}"
            for name, path in (
                ("authorization_endpoint", "authorize"),
                ("token_endpoint", "token"),
                ("userinfo_endpoint", "userinfo"),
                ("jwks_uri", "keys"),
            )
        }
    }

    config = discover(issuer=pasted)
    SSOConnection.objects.update(config=config)
    sign_in(provider, connection, client)

    assert config["issuer"] == provider.issuer
    assert user_of(client)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"issuer": "https://login.test/{tenantid}/v2.0"}, "your tenant ID in place of"),
        ({"issuer": "https://elsewhere.test"}, "is https://elsewhere.test: enter exactly that"),
        ({"issuer": None}, "enter exactly that"),
        ({"userinfo_endpoint": None}, "names no usable address as userinfo_endpoint"),
        ({"jwks_uri": "javascript:x"}, "names no usable address as jwks_uri"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_what_to_enter(
    provider: OpenIDProvider, stated: dict[str, Any], said: str
) -> None:
    provider.bend = {"configuration": stated}

    with pytest.raises(Invalid, match=said) as refused:
        discover(issuer=provider.issuer)

    assert refused.value.field == "issuer"


def test_an_address_without_a_configuration_says_what_was_asked_for(
    provider: OpenIDProvider,
) -> None:
    asked = f"{provider.issuer}/oauth2/.well-known/openid-configuration"

    with pytest.raises(Invalid, match=f"status 404. The portal asked for {asked}."):
        discover(issuer=f"{provider.issuer}/oauth2")


def test_a_configuration_that_is_nested_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "apps.sso.protocols.identity_providers.fetch", lambda url, ca="": b"[" * 1_000_000
    )

    with pytest.raises(Invalid, match="not an OpenID Connect issuer"):
        discover(issuer="https://id.example.org")


@contextmanager
def serving_tls(signer: Signer, folder: Path) -> Iterator[str]:
    """Serve https with a certificate of the test."""
    (folder / "chain.pem").write_text(signer.key + signer.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *args: None
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_identity_provider_on_this_machine_is_not_asked_unless_the_operator_says_so(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, settings: Any
) -> None:
    settings.SSO_NETWORKS = ()

    response = client.post(reverse("sso:start", args=[connection.key]))

    assert response.status_code in (400, 403)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.test/", ""])
def test_a_discovered_address_that_is_none_is_not_left_for(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, url: str
) -> None:
    provider.bend = {"configuration": {"authorization_endpoint": url}}

    response = client.post(reverse("sso:start", args=[connection.key]))

    assert response.status_code == 400
    assert b"alert(1)" not in response.content


def test_two_identity_providers_never_share_a_subject(
    provider: OpenIDProvider, connection: SSOConnection, client: Client, alice: User
) -> None:
    sign_in(provider, connection, client)
    first = user_of(client)
    other = create_connection(
        actor=alice,
        organization=connection.organization,
        protocol="openid_connect",
        name="Other",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        default_role="member",
        config=connection.config,
    )
    SSOConnection.objects.filter(pk=other.pk).update(is_enabled=True, tested_at=timezone.now())
    provider.claims["email"] = "second@nordhavn.test"
    second = Client()
    sign_in(provider, other, second)

    assert user_of(second)
    assert user_of(second) != first


def test_a_test_signs_nobody_in_and_opens_the_way_to_enable(
    provider: OpenIDProvider, connection: SSOConnection, client_of: Any, alice: User
) -> None:
    SSOConnection.objects.update(is_enabled=False, tested_at=None)
    client = client_of(alice)
    page = ["nordhavn", connection.key]

    left = client.post(reverse("sso:test_connection", args=page))
    back = provider.authorize(way_out(left))
    response = client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")

    assert response["Location"] == reverse("sso:connection", args=page)
    assert user_of(client) == alice
    assert not User.objects.filter(email="dana@nordhavn.test").exists()
    connection.refresh_from_db()
    assert connection.test_result["is_ok"]
    assert connection.test_result["groups"] == ["data-eng"]
    switched = client.post(
        reverse("sso:switch_connection", args=page), {"enable": "yes"}, follow=True
    )
    assert b"is enabled." in switched.content


def test_a_test_keeps_only_what_can_be_shown(
    provider: OpenIDProvider, connection: SSOConnection, client_of: Any, alice: User
) -> None:
    provider.claims |= {"groups": ["data-eng", "a\x00b", "\u202etxt", 7, None], "name": "a\x00b"}
    client = client_of(alice)

    left = client.post(reverse("sso:test_connection", args=["nordhavn", connection.key]))
    back = provider.authorize(way_out(left))
    client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")

    connection.refresh_from_db()
    assert connection.test_result["groups"] == ["7", "None", "data-eng"]
    assert connection.test_result["name"] == ""


def test_a_test_with_a_wrong_secret_speaks_to_who_tests(
    provider: OpenIDProvider, connection: SSOConnection, client_of: Any, alice: User
) -> None:
    provider.bend = {"client_secret": "another"}
    client = client_of(alice)

    left = client.post(reverse("sso:test_connection", args=["nordhavn", connection.key]))
    back = provider.authorize(way_out(left))
    client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}")

    connection.refresh_from_db()
    said = connection.test_result["message"]
    assert said.startswith("The identity provider does not accept the client ID or the client")
    assert "bypass" not in said


def test_a_failed_test_says_why(
    provider: OpenIDProvider, connection: SSOConnection, client_of: Any, alice: User
) -> None:
    SSOConnection.objects.update(is_enabled=False, tested_at=None)
    provider.bend = {"id_token": {"aud": "other"}}
    client = client_of(alice)
    page = ["nordhavn", connection.key]

    left = client.post(reverse("sso:test_connection", args=page))
    back = provider.authorize(way_out(left))
    response = client.get(f"{reverse('sso:callback', args=[connection.key])}?{back}", follow=True)

    connection.refresh_from_db()
    assert not connection.test_result["is_ok"]
    assert connection.tested_at is None
    assert "The test failed" in response.content.decode()
    assert user_of(client) == alice
