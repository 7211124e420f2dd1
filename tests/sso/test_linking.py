"""An identity gets to an account that was there before only as far as its connection may reach, or
by a proof of its owner.
"""

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core import mail
from django.test import Client
from django.urls import reverse

from apps.access.grants.services import RightsExceeded, grant
from apps.accounts.models import User
from apps.core.errors import Invalid, Refused
from apps.organizations.members.services import assign_role
from apps.organizations.models import Organization, Workspace
from apps.organizations.roles.services import update_role
from apps.organizations.teams.services import assign_team_role, create_team
from apps.sso.connections.services import (
    create_connection,
    enable_connection,
    update_connection,
)
from apps.sso.connections.trust import approve_connection
from apps.sso.groups.services import map_group
from apps.sso.linking.services import remove_link
from apps.sso.models import LinkProof, SSOConnection
from tests.conftest import PASSWORD, custom_role, role
from tests.sso import identity_provider
from tests.sso.conftest import Browser, words_of
from tests.sso.identity_provider import make_signer

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(alice: User, bob: User, organization: Organization) -> User:
    """A person whose role may set up single sign-on, beyond what members may."""
    member = role("organization", "member").permissions
    custom = custom_role(
        "Connector", (*member, "organization.sso.manage"), organization=organization, actor=alice
    )
    assign_role(actor=alice, user=bob, role=custom, on=organization)
    return User.objects.get(pk=bob.pk)


@pytest.fixture
def theirs(manager: User, saml: SSOConnection) -> SSOConnection:
    """A connection that this person set up, and no owner approved."""
    SSOConnection.objects.update(configured_by=manager, approved_at=None)
    saml.refresh_from_db()
    return saml


@pytest.fixture
def owner(alice: User) -> User:
    alice.email = "alice@nordhavn.test"
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def assert_address(browser: Browser, email: str, **changes: Any) -> Any:
    """Let the identity provider name a person; return the page that comes then."""
    attributes = {"mail": email}
    response = browser.sign_in(subject=email, attributes=attributes, **changes)
    if "/link/" in response.headers.get("Location", ""):
        response = browser.client.get(response["Location"])
    return response


def mailed_link() -> str:
    [found] = re.findall(r"http://localhost:\d+(/accounts/sso/\S+/link/\S+/)", mail.outbox[-1].body)
    return str(found)


def link_of(browser: Browser) -> str:
    return reverse("sso:link", args=[browser.connection.key])


def test_a_connection_that_no_owner_approved_links_nobody_by_address(
    browser: Browser, theirs: SSOConnection, owner: User
) -> None:
    response = assert_address(browser, owner.email)

    assert browser.user_id is None
    assert "Prove once that the account is yours" in words_of(response)
    assert not SocialAccount.objects.exists()


def test_an_address_that_an_unapproved_provider_calls_verified_links_nobody(
    browser: Browser, theirs: SSOConnection, organization: Organization, alice: User
) -> None:
    member = User.objects.create_user("mia@nordhavn.test", PASSWORD, name="Mia")
    grant(actor=alice, user=member, role=role("organization", "member"), on=organization)
    attributes = {"mail": member.email, "email_verified": "true"}

    response = browser.sign_in(subject="mia", attributes=attributes)

    assert browser.user_id is None
    assert response.headers["Location"].endswith(link_of(browser))
    assert not SocialAccount.objects.exists()


def test_an_operator_is_linked_by_address_nowhere(browser: Browser, owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_operator=True)

    response = assert_address(browser, owner.email)

    assert browser.user_id is None
    assert "Prove once" in words_of(response)


def test_a_person_of_another_organization_is_linked_by_address_nowhere(
    browser: Browser, charlie: User
) -> None:
    User.objects.filter(pk=charlie.pk).update(email="charlie@nordhavn.test")

    assert_address(browser, "charlie@nordhavn.test")

    assert browser.user_id is None


def test_a_confirmation_by_mail_links_the_account(
    browser: Browser, new_browser: Callable[[], Browser], theirs: SSOConnection, owner: User
) -> None:
    assert_address(browser, owner.email)
    sent = browser.client.post(link_of(browser), follow=True)
    link = mailed_link()
    shown = browser.client.get(link)
    before = SocialAccount.objects.exists()
    browser.client.post(link)
    signed_in = browser.user_id
    again = new_browser()
    again.sign_in(subject=owner.email, attributes={"mail": owner.email})

    assert f"sent to {owner.email}" in words_of(sent)
    assert mail.outbox[-1].to == [owner.email]
    assert "Link this account" in words_of(shown)
    assert not before
    assert signed_in is None
    assert again.user_id == str(owner.pk)


def test_the_mailed_link_works_in_the_browser_of_the_sign_in_alone_and_once(
    browser: Browser, new_browser: Callable[[], Browser], theirs: SSOConnection, owner: User
) -> None:
    assert_address(browser, owner.email)
    browser.client.post(link_of(browser))
    link = mailed_link()
    victim = Client()
    victim.force_login(owner)
    other = new_browser()
    assert_address(other, owner.email)

    forged = link.rstrip("/") + "x/"
    answers = [victim.post(link), other.client.post(link), browser.client.post(forged)]
    before = SocialAccount.objects.exists()
    answers += [browser.client.post(link), browser.client.post(link)]

    refused = ["This link does not work here" in words_of(one) for one in answers]
    assert refused == [True, True, True, False, True]
    assert not before
    assert SocialAccount.objects.count() == 1


def test_a_sign_in_by_other_means_links_the_account(
    browser: Browser, theirs: SSOConnection, owner: User
) -> None:
    assert_address(browser, owner.email)
    data = {"login": owner.email, "password": PASSWORD, "next": link_of(browser)}
    browser.client.post(reverse("account_login"), data)
    shown = browser.client.get(link_of(browser))
    browser.client.post(link_of(browser))

    assert "Link Nordhavn to this account" in words_of(shown)
    assert SocialAccount.objects.get().user == owner
    assert LinkProof.objects.exists()
    assert browser.client.get("/account/").status_code == 200


def test_another_person_links_nothing(
    browser: Browser, theirs: SSOConnection, owner: User, charlie: User
) -> None:
    assert_address(browser, owner.email)
    waiting = browser.client.session["sso_pending"]
    browser.client.force_login(charlie)
    session = browser.client.session
    session["sso_pending"] = waiting
    session.save()

    browser.client.post(link_of(browser))

    assert not SocialAccount.objects.exists()


def test_somebody_who_came_by_it_and_got_more_rights_proves_the_account(
    browser: Browser,
    new_browser: Callable[[], Browser],
    theirs: SSOConnection,
    organization: Organization,
) -> None:
    """Else whoever controls the identity provider waits until one of its people is an owner."""
    SSOConnection.objects.update(approved_at=browser.connection.created_at)
    browser.sign_in()
    SSOConnection.objects.update(approved_at=None)
    member = new_browser()
    member.sign_in()
    dana = User.objects.get(email="dana@nordhavn.test")
    grant(actor=None, user=dana, role=role("organization", "owner"), on=organization)

    raised = new_browser()
    raised.sign_in()

    assert member.user_id == str(dana.pk)
    assert raised.user_id is None


def test_a_role_that_grew_is_given_to_no_one_by_whoever_lacks_it(
    browser: Browser,
    new_browser: Callable[[], Browser],
    theirs: SSOConnection,
    organization: Organization,
    alice: User,
) -> None:
    """An owner adds to the role that new users get, and need not know who gives it to whom."""
    basic = custom_role("Basic", ["organization.view"], organization=organization, actor=alice)
    SSOConnection.objects.update(default_role=basic.key, addresses_verified_because="Ours.")
    early = {"mail": "erik@nordhavn.test", "email_verified": "true"}
    browser.sign_in(subject="erik", attributes=early)
    assert browser.user_id
    more = ["organization.members.view", "organization.members.manage"]
    update_role(
        actor=alice,
        role=basic,
        name="Basic",
        description="",
        permissions=[*basic.permissions, *more],
        is_limited=False,
        workspaces=[],
    )

    late = new_browser()
    response = late.sign_in(attributes={"mail": "dana@nordhavn.test", "email_verified": "true"})
    again = new_browser()
    again.sign_in(subject="erik", attributes=early)

    assert (late.user_id, again.user_id) == (None, None)
    assert "Ask an owner of Nordhavn Logistics to approve it" in words_of(response)
    assert not User.objects.filter(email="dana@nordhavn.test").exists()
    theirs.refresh_from_db()
    approve_connection(actor=alice, connection=theirs)
    late.sign_in()
    again.sign_in(subject="erik", attributes=early)
    assert late.user_id
    assert again.user_id


def test_an_address_beyond_the_reach_of_a_connection_does_not_follow(
    browser: Browser, new_browser: Callable[[], Browser], theirs: SSOConnection, owner: User
) -> None:
    account = SocialAccount.objects.create(provider=theirs.key, uid="alice", user=owner)
    LinkProof.objects.create(account=account)

    browser.sign_in(subject="alice", attributes={"mail": "evil@nordhavn.test"})

    assert browser.user_id == str(owner.pk)
    owner.refresh_from_db()
    assert owner.email == "alice@nordhavn.test"


def test_an_owner_who_enables_or_approves_a_connection_lets_it_reach_the_organization(
    browser: Browser, theirs: SSOConnection, manager: User, alice: User, owner: User
) -> None:
    enable_connection(actor=manager, connection=theirs)
    with pytest.raises(Refused, match="Only an owner"):
        approve_connection(actor=manager, connection=theirs)
    theirs.refresh_from_db()
    by_manager = theirs.approved_at
    approve_connection(actor=User.objects.get(pk=alice.pk), connection=theirs)

    assert_address(browser, owner.email)

    assert by_manager is None
    assert browser.user_id == str(owner.pk)


def evil_config(**changes: Any) -> dict[str, Any]:
    return {
        "entity_id": identity_provider.ENTITY_ID,
        "sso_url": "https://evil.test/sso",
        "certificates": [make_signer("evil").certificate],
        **changes,
    }


def test_a_swapped_identity_provider_reaches_what_its_swapper_may(
    browser: Browser, saml: SSOConnection, manager: User, owner: User
) -> None:
    """The name of the identity provider stays, so its identities do; the key is another's."""
    account = SocialAccount.objects.create(provider=saml.key, uid="alice", user=owner)
    LinkProof.objects.create(account=account)

    update_connection(actor=manager, connection=saml, config=evil_config())
    SSOConnection.objects.update(is_enabled=True, tested_at=saml.created_at)
    browser.sign_in(subject="alice", attributes={"mail": owner.email}, signer=make_signer("evil"))

    assert browser.user_id is None
    saml.refresh_from_db()
    assert saml.approved_at is None
    assert saml.configured_by == manager


@pytest.mark.parametrize("field", ["config", "email_attribute", "groups_attribute"])
def test_a_connection_that_gives_more_than_its_swapper_may_is_not_swapped(
    saml: SSOConnection,
    manager: User,
    alice: User,
    organization: Organization,
    workspace: Workspace,
    field: str,
) -> None:
    team = create_team(actor=alice, organization=organization, name="Admins")
    assign_team_role(actor=alice, team=team, role=role("workspace", "owner"), on=workspace)
    map_group(actor=alice, connection=saml, group="admins", team=team)
    value = evil_config() if field == "config" else "other"

    with pytest.raises(RightsExceeded):
        update_connection(actor=manager, connection=saml, **{field: value})

    saml.refresh_from_db()
    assert saml.config["sso_url"] == identity_provider.SSO_URL


def test_identities_belong_to_an_issuer(
    browser: Browser,
    new_browser: Callable[[], Browser],
    saml: SSOConnection,
    alice: User,
) -> None:
    browser.sign_in()
    other = evil_config(entity_id="https://new.test/", certificates=saml.config["certificates"])

    with pytest.raises(Invalid, match="The 1 identities that are linked now .* end"):
        update_connection(actor=alice, connection=saml, config=other)
    saml.refresh_from_db()
    update_connection(actor=alice, connection=saml, config=other, replaces=True)
    SSOConnection.objects.update(is_enabled=True, tested_at=saml.created_at)
    again = new_browser()
    again.sign_in(issuer="https://new.test/", attributes={"mail": "eve@nordhavn.test"})

    assert again.user_id not in (None, browser.user_id)
    assert SocialAccount.objects.get().user.email == "eve@nordhavn.test"


def test_an_answer_of_the_former_identity_provider_is_worth_nothing_after_the_change(
    browser: Browser, saml: SSOConnection, alice: User
) -> None:
    asked = browser.leave()
    xml = identity_provider.answer(base=browser.base, asked=asked)
    posted = {"SAMLResponse": base64.b64encode(xml).decode()}
    received = browser.client.post(reverse("sso:acs", args=[saml.key]), posted)
    other = evil_config(entity_id="https://new.test/")
    update_connection(actor=alice, connection=saml, config=other, replaces=True)
    SSOConnection.objects.update(is_enabled=True, tested_at=saml.created_at)

    browser.client.get(received["Location"])

    assert browser.user_id is None


def test_a_person_made_anew_at_the_provider_comes_back_by_a_sign_in_or_an_owner(
    browser: Browser, new_browser: Callable[[], Browser], saml: SSOConnection, alice: User
) -> None:
    browser.sign_in()
    dana = User.objects.get(email="dana@nordhavn.test")
    dana.set_password(PASSWORD)
    dana.save()
    anew = new_browser()
    left = anew.sign_in(subject="7002")
    shown = anew.client.get(left["Location"])
    mailed = anew.client.post(left["Location"])
    anew.client.post(reverse("account_login"), {"login": dana.email, "password": PASSWORD})
    anew.client.post(left["Location"])
    third = new_browser()
    third.sign_in(subject="7003")
    remove_link(actor=alice, connection=saml, account=SocialAccount.objects.get())
    third.sign_in(subject="7003")

    assert "is linked to another person" in words_of(shown)
    assert mailed.status_code == 200
    assert not mail.outbox
    assert third.user_id == str(dana.pk)
    assert SocialAccount.objects.get().uid == "7003"


def test_a_link_of_somebody_with_more_rights_is_not_removed(
    saml: SSOConnection, manager: User, owner: User
) -> None:
    account = SocialAccount.objects.create(provider=saml.key, uid="alice", user=owner)

    with pytest.raises(RightsExceeded):
        remove_link(actor=manager, connection=saml, account=account)


def test_the_maker_of_a_new_connection_answers_for_it(
    manager: User, alice: User, organization: Organization
) -> None:
    for actor, name in ((manager, "A"), (alice, "B")):
        create_connection(
            actor=actor, organization=organization, protocol="saml", name=name, config=evil_config()
        )

    made = {one.name: one for one in SSOConnection.objects.all()}
    assert (made["A"].configured_by, made["A"].approved_at) == (manager, None)
    assert made["B"].approved_by == alice
    assert made["A"].encryption_certificate != made["B"].encryption_certificate


def test_only_an_owner_states_that_addresses_are_verified(
    manager: User, alice: User, saml: SSOConnection
) -> None:
    with pytest.raises(Invalid, match="Only an owner"):
        update_connection(actor=manager, connection=saml, addresses_verified_because="they are")
    saml.refresh_from_db()
    update_connection(actor=alice, connection=saml, addresses_verified_because="HR writes them")
    update_connection(actor=manager, connection=saml, config=evil_config())

    saml.refresh_from_db()
    assert saml.addresses_verified_because == ""


def test_a_second_proof_is_asked_for_after_a_change_of_the_identity_provider(
    browser: Browser,
    new_browser: Callable[[], Browser],
    saml: SSOConnection,
    alice: User,
    charlie: User,
) -> None:
    User.objects.filter(pk=charlie.pk).update(email="charlie@nordhavn.test")
    account = SocialAccount.objects.create(provider=saml.key, uid="c", user=charlie)
    LinkProof.objects.create(account=account)
    grant(
        actor=None,
        user=charlie,
        role=role("organization", "member"),
        on=saml.organization,
    )
    browser.sign_in(subject="c", attributes={"mail": "charlie@nordhavn.test"})
    config = {**saml.config, "certificates": [make_signer("newer").certificate]}
    update_connection(actor=alice, connection=saml, config=config)

    again = new_browser()
    again.sign_in(
        subject="c", attributes={"mail": "charlie@nordhavn.test"}, signer=make_signer("newer")
    )

    assert browser.user_id == str(charlie.pk)
    assert again.user_id is None
