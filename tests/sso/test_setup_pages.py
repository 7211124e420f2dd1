"""Owners set up single sign-on in the browser: domains, connections, enforcement, the way round."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.access.grants.services import RightsExceeded
from apps.access.models import Role
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, Refused
from apps.organizations.members.services import assign_role
from apps.organizations.models import Organization
from apps.organizations.roles.services import create_role, delete_role
from apps.sso.connections.services import make_bypass_link, update_connection
from apps.sso.models import BypassLink, Domain, ScimToken, SSOConnection
from apps.sso.protocols.vocabulary import NAMES
from apps.sso.scim.tokens import create_scim_token
from apps.sso.sign_in.admission import admit
from apps.sso.sign_in.identities import Identity
from tests.conftest import PASSWORD
from tests.sso import identity_provider
from tests.sso.conftest import way_out
from tests.sso.dns_server import name_server
from tests.sso.identity_provider import make_signer, metadata

pytestmark = pytest.mark.django_db
ORGANIZATION = "nordhavn"


@pytest.fixture
def records(settings: Any) -> Iterator[dict[str, str]]:
    with name_server() as (address, records):
        settings.DNS_SERVERS = [address]
        yield records


@pytest.fixture
def owner(client_of: Callable[[User], Client], alice: User) -> Client:
    return client_of(alice)


def page(name: str, *more: object) -> str:
    return reverse(f"sso:{name}", args=[ORGANIZATION, *more])


def upload(xml: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("metadata.xml", xml.encode(), content_type="text/xml")


def connect(owner: Client, **changes: Any) -> Any:
    data = {"protocol": "saml", "name": "Okta", "metadata": upload(metadata()), **changes}
    return owner.post(page("new_connection"), data)


def test_the_page_of_a_connection_says_until_when_its_certificates_are(
    owner: Client, saml: SSOConnection
) -> None:
    ended, good = make_signer("ended", days=-1), make_signer("good", days=400)
    saml.config["certificates"] = [ended.certificate, good.certificate]
    saml.save()

    shown = owner.get(page("connection", saml.key)).content.decode()

    now = timezone.now()
    assert f"{now - timedelta(days=1):%Y-%m-%d}T" in shown.partition("expired")[2]
    assert f"{now + timedelta(days=400):%Y-%m-%d}T" in shown.partition("valid until")[2]


def test_a_domain_is_verified_by_its_dns_record(
    owner: Client, organization: Organization, records: dict[str, str]
) -> None:
    owner.post(page("overview"), {"name": " Nordhavn.TEST. "})
    domain = Domain.objects.get()
    assert domain.name == "nordhavn.test"
    check = page("check_domain", domain.pk)

    early = owner.post(check, follow=True).content.decode()
    records[domain.record_name] = "something else"
    wrong = owner.post(check, follow=True).content.decode()
    records[domain.record_name] = domain.record_value
    right = owner.post(check, follow=True).content.decode()

    assert "There is no such record yet" in early
    assert "but with another value" in wrong
    assert "nordhavn.test is verified" in right
    domain.refresh_from_db()
    assert domain.verified_at
    assert AuditEvent.objects.filter(action="domain.verified").exists()


def test_a_name_server_that_is_away_is_said_and_keeps_what_was_verified(
    owner: Client, domain: Domain, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sso.domains.dns.LOOKUP_SECONDS", 0.2)
    settings.DNS_SERVERS = ["127.0.0.1:9"]

    owner.post(page("check_domain", domain.pk), follow=True)

    domain.refresh_from_db()
    assert domain.verified_at
    assert "No name server answered" in domain.problem


def test_a_domain_is_verified_by_one_organization_alone(
    owner: Client, records: dict[str, str], charlie: User, organization: Organization
) -> None:
    elsewhere = Organization.objects.get(slug="elsewhere")
    Domain.objects.create(
        organization=elsewhere, name="nordhavn.test", token="x", verified_at=timezone.now()
    )
    owner.post(page("overview"), {"name": "nordhavn.test"})
    ours = Domain.objects.get(organization=organization)
    records[ours.record_name] = ours.record_value

    answer = owner.post(page("check_domain", ours.pk), follow=True).content.decode()

    assert "Another organization of this portal has verified this domain" in answer
    ours.refresh_from_db()
    assert ours.verified_at is None


@pytest.mark.parametrize(
    "name", ["", "localhost", "a..b", "-x.test", "x" * 64 + ".test", "a b.test", "\u202ex.test"]
)
def test_what_is_no_domain_is_refused_in_the_form(owner: Client, name: str) -> None:
    response = owner.post(page("overview"), {"name": name})

    assert response.status_code == 422
    assert not Domain.objects.exists()


def test_a_connection_is_made_from_a_metadata_file_and_stays_off(owner: Client) -> None:
    response = connect(owner)

    connection = SSOConnection.objects.get()
    assert response["Location"] == page("connection", connection.key)
    assert not connection.is_enabled
    assert connection.config["entity_id"] == identity_provider.ENTITY_ID
    shown = owner.get(response["Location"]).content.decode()
    assert f"/accounts/sso/{connection.key}/acs/" in shown


BAD_METADATA = {
    "no XML": "hello",
    "no identity provider": "<a/>",
    "a document type": metadata(doctype='<!DOCTYPE x [<!ENTITY a "b">]>'),
    "an address that is not https": metadata(sso_url="http://idp.test/sso"),
    "a script as address": metadata(sso_url="javascript:alert(1)"),
    "an ended certificate": metadata(make_signer("old", days=-1)),
    "nothing": "",
    "a federation": f"<md:EntitiesDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata'>"
    f"{metadata()}{metadata(entity_id='https://other.test')}</md:EntitiesDescriptor>",
}


@pytest.mark.parametrize("xml", BAD_METADATA.values(), ids=BAD_METADATA)
def test_bad_metadata_is_refused_in_words_and_keeps_what_was_typed(owner: Client, xml: str) -> None:
    response = connect(owner, name="Okta of ours", metadata=upload(xml))

    assert response.status_code == 422
    assert b"Okta of ours" in response.content
    assert not SSOConnection.objects.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "not an address"),
        ("http://idp.test/metadata", "Only https"),
        ("https://127.0.0.1/metadata", "own machine"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://[::1]/metadata", "own machine"),
        ("https://user:secret@idp.test/", "must not carry"),
    ],
)
def test_metadata_is_fetched_from_no_address_inside(owner: Client, url: str, message: str) -> None:
    response = connect(owner, metadata="", metadata_url=url)

    assert response.status_code == 422
    assert message in response.content.decode()


@pytest.mark.parametrize(
    ("issuer", "message"),
    [("https://localhost:1", "own machine"), ("ftp://x.test", "Only https"), ("x", "not an addr")],
)
def test_an_issuer_inside_is_not_asked(owner: Client, issuer: str, message: str) -> None:
    data = {
        "protocol": "openid_connect",
        "name": "ID",
        "issuer": issuer,
        "client_id": "c",
        "client_secret": "very-secret",
    }
    response = owner.post(page("new_connection"), data)

    assert response.status_code == 422
    assert message in response.content.decode()
    assert b"very-secret" not in response.content


def test_a_connection_is_switched_on_only_after_a_test(owner: Client) -> None:
    connect(owner)
    connection = SSOConnection.objects.get()

    answer = owner.post(page("switch_connection", connection.key), {"enable": "yes"}, follow=True)

    assert b"Test the connection first" in answer.content
    connection.refresh_from_db()
    assert not connection.is_enabled


def test_a_change_of_the_identity_provider_asks_for_a_new_test(
    owner: Client, saml: SSOConnection
) -> None:
    newer = metadata(make_signer("newer"), sso_url="https://idp.nordhavn.test/other")
    data = {"name": "Nordhavn", "default_role": "member", "metadata": upload(newer)}

    owner.post(page("edit_connection", saml.key), data)

    saml.refresh_from_db()
    assert not saml.is_enabled
    assert saml.tested_at is None


@pytest.mark.parametrize("keeps", [True, False])
def test_an_owner_rolls_certificates_over_although_it_is_the_last_connection(
    owner: Client, dana: User, saml: SSOConnection, keeps: bool
) -> None:
    newer = make_signer("newer")
    data = {"name": "Nordhavn", "default_role": "member", "metadata": upload(metadata(newer))}

    answer = owner.post(
        page("edit_connection", saml.key), data | ({"keeps_certificates": "on"} if keeps else {})
    )

    assert answer.status_code == 302
    saml.refresh_from_db()
    assert saml.is_enabled
    bodies = ["".join(one.split()) for one in saml.config["certificates"]]
    known = ["".join(one.certificate.split()) for one in (newer, make_signer())]
    assert bodies == known[: 2 if keeps else 1]


def test_who_is_no_owner_rolls_no_certificates_over_without_a_test(
    alice: User, bob: User, saml: SSOConnection, organization: Organization
) -> None:
    member = Role.objects.get(key="member", scope="organization", organization=None)
    permissions = (*member.permissions, "organization.sso.manage")
    custom = watcher(alice, organization, *permissions)
    assign_role(actor=alice, user=bob, role=custom, on=organization)
    config = {**saml.config, "certificates": [make_signer("newer").certificate]}

    update_connection(actor=bob, connection=saml, config=config)

    saml.refresh_from_db()
    assert not saml.is_enabled


def test_metadata_with_a_certificate_that_ended_beside_a_valid_one_is_read(owner: Client) -> None:
    old, good = make_signer("old", days=-1), make_signer("good")

    connect(owner, metadata=upload(metadata(old, good)))

    [kept] = SSOConnection.objects.get().config["certificates"]
    assert "".join(kept.split()) == "".join(good.certificate.split())


def test_another_identity_provider_is_named_before_it_is_saved(
    owner: Client, saml: SSOConnection
) -> None:
    admit(connection=saml, identity=Identity(subject="1", email="dana@nordhavn.test", name="Dana"))
    other = metadata(entity_id="https://new.test/")
    url = page("edit_connection", saml.key)
    data = {"name": "Nordhavn", "default_role": "member"}

    asked = owner.post(url, data | {"metadata": upload(other)})
    saml.refresh_from_db()
    before = saml.issuer
    owner.post(url, data | {"metadata": upload(other), "replaces": "on"})

    assert asked.status_code == 422
    assert f"https://new.test/ in place of {identity_provider.ENTITY_ID}" in asked.content.decode()
    assert before == identity_provider.ENTITY_ID
    saml.refresh_from_db()
    assert saml.issuer == "https://new.test/"
    assert not SocialAccount.objects.exists()


def test_two_administrators_do_not_overwrite_each_other(
    client_of: Callable[[User], Client],
    owner: Client,
    alice: User,
    bob: User,
    saml: SSOConnection,
    organization: Organization,
) -> None:
    role = Role.objects.get(key="owner", scope="organization")
    assign_role(actor=alice, user=bob, role=role, on=organization)
    url, second = page("edit_connection", saml.key), client_of(bob)
    data = {"name": "Nordhavn", "default_role": "member"}

    def edition(shown: Any) -> str:
        return re.findall(r'name="edition" value="(\w{64})"', shown.content.decode())[0]

    read = edition(owner.get(url))
    second.post(url, data | {"groups_attribute": "teams", "edition": edition(second.get(url))})
    unlucky = owner.post(url, data | {"name": "", "edition": read})
    refused = owner.post(url, data | {"name": "Ours", "edition": edition(unlucky)})
    saml.refresh_from_db()
    kept = (saml.name, saml.groups_attribute)
    again = owner.post(url, data | {"name": "Ours", "edition": edition(refused)})

    assert refused.status_code == 422
    assert "Another person changed this connection" in refused.content.decode()
    assert 'value="Ours"' in refused.content.decode()
    assert kept == ("Nordhavn", "teams")
    assert again.status_code == 302
    saml.refresh_from_db()
    assert (saml.name, saml.groups_attribute) == ("Ours", "")


def test_who_disables_a_connection_while_it_is_edited_is_not_undone(
    alice: User, saml: SSOConnection
) -> None:
    waited = SSOConnection.objects.get(pk=saml.pk)
    SSOConnection.objects.filter(pk=saml.pk).update(is_enabled=False)

    update_connection(actor=alice, connection=waited, name="Ours")

    saml.refresh_from_db()
    assert (saml.name, saml.is_enabled) == ("Ours", False)
    saml.delete()
    with pytest.raises(Conflict, match="removed this connection"):
        update_connection(actor=alice, connection=waited, name="Others")


def test_the_names_that_are_understood_are_listed(owner: Client, saml: SSOConnection) -> None:
    for url in (page("new_connection") + "?protocol=saml", page("connection", saml.key)):
        shown = owner.get(url).content.decode()
        for _, names in NAMES:
            assert all(f">{name}</span>" in shown for name in names)


def test_the_people_of_a_connection_are_listed_and_unlinked(
    owner: Client, saml: SSOConnection
) -> None:
    admit(
        connection=saml, identity=Identity(subject="u-1", email="dana@nordhavn.test", name="Dana")
    )
    account = SocialAccount.objects.get()

    shown = owner.get(page("people", saml.key)).content.decode()
    none = owner.get(page("people", saml.key), {"q": "nobody"}).content.decode()
    owner.post(page("unlink", saml.key, account.pk))

    assert "dana@nordhavn.test" in shown
    assert "u-1" in shown
    assert "No one is linked" in none
    assert not SocialAccount.objects.exists()
    assert AuditEvent.objects.filter(action="identity.unlinked").exists()


def test_a_connection_says_who_answers_for_it(
    owner: Client, alice: User, bob: User, saml: SSOConnection
) -> None:
    SSOConnection.objects.update(approved_at=None, configured_by=bob)
    before = " ".join(owner.get(page("connection", saml.key)).content.decode().split())

    owner.post(page("approve_connection", saml.key))

    saml.refresh_from_db()
    assert saml.approved_by == alice
    after = owner.get(page("connection", saml.key)).content.decode()
    assert "Not approved by an owner" in before
    assert "more permissions than Bob" in before
    assert "Approved by an owner" in after


def test_the_tile_of_an_identity_provider_leads_to_its_sign_in(
    client: Client, owner: Client, saml: SSOConnection
) -> None:
    address = f"/accounts/sso/{saml.key}/"

    shown = client.get(address)

    assert f"{address}</code>" in owner.get(page("connection", saml.key)).content.decode()
    assert b"Continue with Nordhavn" in shown.content
    assert not client.session.get("socialaccount_states")
    assert way_out(client.post(address)).startswith(identity_provider.SSO_URL)


def watcher(owner: User, organization: Organization, *permissions: str) -> Role:
    return create_role(
        actor=owner,
        organization=organization,
        scope="organization",
        name="Watcher",
        description="",
        permissions=permissions,
        is_limited=False,
        workspaces=[],
    )


def test_newcomers_become_a_custom_role_which_pages_call_by_its_name(
    owner: Client, alice: User, saml: SSOConnection, organization: Organization
) -> None:
    custom = watcher(alice, organization, "organization.usage.view")
    form = owner.get(page("edit_connection", saml.key)).content.decode()
    data = {"name": "Nordhavn", "default_role": custom.key}

    answer = owner.post(page("edit_connection", saml.key), data)

    assert "Organization Owner" not in form
    assert answer.status_code == 302
    shown = owner.get(page("connection", saml.key)).content.decode()
    assert re.search(r"Default role for new users</dt>\s*<dd>\s*Watcher\s*</dd>", shown)
    assert custom.key not in shown
    event = AuditEvent.objects.get(action="sso_connection.updated")
    assert event.changes["default_role"] == ["Organization Member", "Watcher"]
    dana = admit(
        connection=SSOConnection.objects.get(pk=saml.pk),
        identity=Identity(subject="1", email="dana@nordhavn.test", name="Dana"),
    )
    assert dana.has_perm("organization.usage.view", organization)


@pytest.mark.parametrize("key", ["owner", "custom-0", "\u00e9"])
def test_newcomers_cannot_become_owners_or_what_is_not_there(
    owner: Client, alice: User, saml: SSOConnection, key: str
) -> None:
    answer = owner.post(
        page("edit_connection", saml.key), {"name": "Nordhavn", "default_role": key}
    )

    assert answer.status_code == 422
    with pytest.raises(Invalid):
        update_connection(actor=alice, connection=saml, default_role=key)


def test_newcomers_become_nothing_that_whoever_sets_it_up_could_not_give(
    alice: User,
    bob: User,
    saml: SSOConnection,
    organization: Organization,
    client_of: Callable[[User], Client],
) -> None:
    assign_role(
        actor=alice,
        user=bob,
        role=watcher(alice, organization, "organization.sso.manage", "organization.members.view"),
        on=organization,
    )
    client = client_of(bob)
    url = page("edit_connection", saml.key)

    assert "Organization Billing Admin" not in client.get(url).content.decode()
    refused = client.post(url, {"name": "Nordhavn", "default_role": "billing-admin"})
    renamed = client.post(url, {"name": "Nordhavn 2", "default_role": "member"})

    assert (refused.status_code, renamed.status_code) == (422, 302)
    with pytest.raises(RightsExceeded):
        update_connection(actor=bob, connection=saml, default_role="billing-admin")


def test_newcomers_must_be_invited_when_their_role_was_deleted(
    owner: Client, alice: User, saml: SSOConnection, organization: Organization
) -> None:
    custom = watcher(alice, organization)
    update_connection(actor=alice, connection=saml, default_role=custom.key)

    delete_role(actor=alice, role=custom)

    shown = " ".join(owner.get(page("connection", saml.key)).content.decode().split())
    assert "people must be invited" in shown
    assert "The role was deleted." in shown
    with pytest.raises(Refused, match="by invitation"):
        admit(
            connection=SSOConnection.objects.get(pk=saml.pk),
            identity=Identity(subject="1", email="dana@nordhavn.test", name="Dana"),
        )


@pytest.mark.parametrize("name", ["new_connection", "edit_connection"])
def test_a_secret_is_taken_after_a_fresh_sign_in_alone_and_the_rest_is_kept(
    owner: Client, saml: SSOConnection, name: str
) -> None:
    url = page(name, *([saml.key] if name == "edit_connection" else []))
    owner.get("/account/")
    session = owner.session
    session["signed_in_at"] = time.time() - 3600
    session.save()

    read = owner.get(url)
    sent = owner.post(
        url, {"protocol": "saml", "name": "Typed", "metadata": upload(metadata(make_signer("a")))}
    )

    assert "/accounts/reauthenticate/" in read["Location"]
    assert sent.status_code == 422
    words = sent.content.decode()
    assert "confirm it’s you" in words
    assert 'value="Typed"' in words
    assert [one.name for one in SSOConnection.objects.all()] == ["Nordhavn"]
    assert "metadata" not in str(dict(owner.session))


def test_a_new_name_changes_nothing_about_sign_in(owner: Client, saml: SSOConnection) -> None:
    data = {"name": "New name", "default_role": "member"}

    response = owner.post(page("edit_connection", saml.key), data)

    assert response.status_code == 302
    saml.refresh_from_db()
    assert saml.name == "New name"
    assert saml.is_enabled


def enforce(owner: Client, domain: Domain, action: str = "enforce") -> Any:
    return owner.post(page("change_domain", domain.pk), {"action": action})


def test_enforcing_is_refused_while_it_would_lock_everybody_out(
    owner: Client, domain: Domain, organization: Organization
) -> None:
    response = enforce(owner, domain)

    assert response.status_code == 422
    assert b"Enable a connection first" in response.content


def test_enforcing_needs_a_bypass_link(owner: Client, domain: Domain, saml: SSOConnection) -> None:
    assert b"Create a bypass link first" in enforce(owner, domain).content


@pytest.fixture
def bypass_token(alice: User, organization: Organization) -> str:
    return make_bypass_link(actor=alice, organization=organization)


@pytest.fixture
def dana(owner: Client, domain: Domain, saml: SSOConnection, bypass_token: str) -> User:
    """Somebody with a password, in a domain that requires single sign-on."""
    assert enforce(owner, domain).status_code == 302
    return User.objects.create_user("dana@nordhavn.test", PASSWORD)


def test_an_enforced_address_leaves_for_its_identity_provider_at_once(
    client: Client, dana: User
) -> None:
    response = client.post(reverse("account_login"), {"login": dana.email})

    assert way_out(response).startswith(identity_provider.SSO_URL)


def test_a_password_of_an_enforced_domain_signs_nobody_in(client: Client, dana: User) -> None:
    data = {"login": dana.email, "password": PASSWORD}

    response = client.post(reverse("account_login"), data)

    assert response.status_code == 403
    assert b"requires single sign-on" in response.content
    assert "_auth_user_id" not in client.session


def test_the_bypass_link_lets_passwords_in_again_and_is_on_record(
    client: Client, dana: User, bypass_token: str
) -> None:
    link = reverse("sso:bypass", args=[bypass_token])
    client.get(link)
    assert BypassLink.objects.get().used_at is None

    client.post(link)
    step = client.post(reverse("account_login"), {"login": dana.email})
    client.post(reverse("account_login"), {"login": dana.email, "password": PASSWORD})

    page = step.content.decode()
    assert "Sign in with your password" in page
    assert page.count('data-kind="primary"') == 1
    assert page.index("Password") < page.index("Continue with Nordhavn")
    assert 'data-kind="primary" type="submit">Sign in</button>' in page
    assert client.session["_auth_user_id"] == str(dana.pk)
    assert AuditEvent.objects.filter(action="sso_bypass.used").exists()


def test_a_replaced_bypass_link_opens_nothing(
    owner: Client, client: Client, dana: User, bypass_token: str
) -> None:
    made = owner.post(page("make_bypass_link")).content.decode()

    assert "/accounts/bypass/" in made
    assert bypass_token not in made
    assert client.get(reverse("sso:bypass", args=[bypass_token])).status_code == 404


def test_the_last_connection_of_an_enforced_domain_stays(
    owner: Client, dana: User, saml: SSOConnection
) -> None:
    switched = owner.post(page("switch_connection", saml.key), follow=True)
    deleted = owner.post(page("delete_connection", saml.key))

    assert b"this is the last connection" in switched.content
    assert deleted.status_code == 422
    saml.refresh_from_db()
    assert saml.is_enabled


def test_an_edit_that_would_switch_off_the_last_connection_is_refused_and_kept_in_the_form(
    owner: Client, dana: User, saml: SSOConnection
) -> None:
    data = {"name": "Typed", "default_role": "member", "email_attribute": "mail2"}

    answer = owner.post(page("edit_connection", saml.key), data)

    assert answer.status_code == 422
    shown = answer.content.decode()
    assert "this is the last connection" in shown
    assert 'value="Typed"' in shown
    saml.refresh_from_db()
    assert (saml.is_enabled, saml.email_attribute, saml.name) == (True, "", "Nordhavn")


def test_an_address_without_a_domain_asks_for_its_password(client: Client, alice: User) -> None:
    response = client.post(reverse("account_login"), {"login": alice.email})

    page = response.content.decode()
    assert response.status_code == 200
    assert 'type="password"' in page
    assert alice.email in page


def test_a_wrong_address_stays_on_the_first_step(client: Client, db: None) -> None:
    response = client.post(reverse("account_login"), {"login": "not an address"})

    assert response.status_code == 422
    assert b"not an address" in response.content


@pytest.mark.parametrize("name", ["overview", "new_connection"])
def test_members_may_not_see_it_and_outsiders_not_know_of_it(
    name: str, client_of: Callable[[User], Client], bob: User, charlie: User
) -> None:
    assert client_of(bob).get(page(name)).status_code == 403
    assert client_of(charlie).get(page(name)).status_code == 404


def test_connections_and_domains_of_another_organization_are_not_there(
    client_of: Callable[[User], Client], saml: SSOConnection, domain: Domain, charlie: User
) -> None:
    client = client_of(charlie)
    theirs = ["elsewhere", saml.key]

    assert client.get(reverse("sso:connection", args=theirs)).status_code == 404
    assert client.post(reverse("sso:test_connection", args=theirs)).status_code == 404
    check = reverse("sso:check_domain", args=["elsewhere", domain.pk])
    assert client.post(check).status_code == 404


def test_the_pages_show_everything_and_no_secret(owner: Client, saml: SSOConnection) -> None:
    for url in (
        page("overview"),
        page("new_connection"),
        page("new_connection") + "?protocol=saml",
        page("new_connection") + "?protocol=openid_connect",
        page("connection", saml.key),
        page("edit_connection", saml.key),
        page("delete_connection", saml.key),
    ):
        assert owner.get(url).status_code == 200, url


def test_a_scim_token_is_revoked_after_a_page_that_says_what_it_means(
    owner: Client, alice: User, organization: Organization
) -> None:
    create_scim_token(actor=alice, organization=organization, name="Okta")
    token = ScimToken.objects.get()
    address = page("revoke_token", token.pk)

    asked = owner.get(address)
    assert b"can no longer create, update or deactivate accounts" in asked.content
    assert ScimToken.objects.filter(pk=token.pk).exists()
    assert owner.post(address).status_code == 302
    assert owner.get(address).status_code == 404


ADDRESSES = {"saml": ("acs/", "metadata/"), "openid_connect": ("callback/",)}


@pytest.mark.parametrize("protocol", ["saml", "openid_connect"])
def test_the_addresses_are_shown_before_anything_is_asked_and_stay(
    owner: Client, protocol: str
) -> None:
    path = f"{page('new_connection')}?protocol={protocol}"

    first, again = (owner.get(path).content.decode() for _ in range(2))

    key = re.findall(r'name="key" value="(nordhavn-[0-9a-f]{8})"', first)[0]
    for ending in ADDRESSES[protocol]:
        address = f"/accounts/sso/{key}/{ending}</code>"
        assert address in first
        assert address in again
        assert first.index(address) < first.index('id="id_name"')
    assert not SSOConnection.objects.exists()


def test_a_connection_gets_the_address_that_was_shown(owner: Client) -> None:
    shown = owner.get(f"{page('new_connection')}?protocol=saml").content.decode()
    key = re.findall(r'name="key" value="([^"]*)"', shown)[0]

    connect(owner, key=key, metadata=upload("broken"))
    connect(owner, key=key)

    assert SSOConnection.objects.get().key == key
    following = owner.get(f"{page('new_connection')}?protocol=saml").content.decode()
    assert f'value="{key}"' not in following


def test_who_comes_back_another_day_finds_the_addresses_that_were_registered(
    client_of: Callable[[User], Client], alice: User, organization: Organization, bob: User
) -> None:
    def shown(client: Client, protocol: str = "openid_connect") -> str:
        page_of_it = client.get(f"{page('new_connection')}?protocol={protocol}").content.decode()
        return re.findall(r'name="key" value="([^"]+)"', page_of_it)[0]

    assign_role(
        actor=alice,
        user=bob,
        role=Role.objects.get(key="owner", scope="organization"),
        on=organization,
    )
    before = client_of(alice)
    first, other_protocol = shown(before), shown(before, "saml")
    before.logout()
    again = client_of(alice)

    assert (shown(again), shown(again, "saml")) == (first, other_protocol)
    assert shown(client_of(bob)) not in (first, other_protocol)
    connect(again, key=other_protocol)
    assert shown(again) == first
    assert shown(again, "saml") != other_protocol


@pytest.mark.parametrize("key", ["nordhavn-00000000", "", "../../x"])
def test_the_form_does_not_choose_the_address_of_a_connection(owner: Client, key: str) -> None:
    response = connect(owner, key=key)

    assert response.status_code == 422
    assert "The addresses below have changed" in response.content.decode()
    assert not SSOConnection.objects.exists()
