"""Sign-in by SAML: who comes in, and every answer that must sign nobody in."""

import base64
from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization
from apps.organizations.queries import is_member
from apps.sso.models import SSOConnection, UsedAssertion
from apps.sso.tasks import sweep_assertions
from tests.sso.conftest import Browser, logged_reason, words_of
from tests.sso.identity_provider import NS, answer, make_signer
from tests.sso.wrapping import VARIANTS, wrapped

pytestmark = pytest.mark.django_db


def test_a_newcomer_gets_an_account_and_the_role_of_newcomers(
    browser: Browser, organization: Organization
) -> None:
    response = browser.sign_in()

    dana = User.objects.get(email="dana@nordhavn.test")
    assert response.status_code == 302
    assert browser.user_id == str(dana.pk)
    assert dana.name == "Dana"
    assert not dana.has_usable_password()
    assert is_member(user=dana, organization=organization)
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"person.created", "identity.linked", "role.granted"} <= actions


def test_somebody_who_comes_again_is_the_same_person(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    browser.sign_in()
    again = new_browser()
    again.sign_in(attributes={"mail": "Dana@Nordhavn.test"})

    assert again.user_id == browser.user_id
    account = SocialAccount.objects.get()
    assert (account.provider, account.uid, account.extra_data) == ("nordhavn-saml", "7001", {})


def test_a_member_is_found_by_the_address_of_a_verified_domain(
    browser: Browser, alice: User
) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@nordhavn.test")

    browser.sign_in(subject="alice", attributes={"mail": "alice@nordhavn.test"})

    assert browser.user_id == str(alice.pk)


def test_an_address_that_changed_at_the_identity_provider_follows(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    browser.sign_in()
    again = new_browser()
    again.sign_in(attributes={"mail": "dana.berg@nordhavn.test"})

    assert again.user_id == browser.user_id
    assert User.objects.get(pk=again.user_id).email == "dana.berg@nordhavn.test"
    assert AuditEvent.objects.filter(action="person.address_changed").exists()


def test_an_address_that_changed_to_somebody_elses_is_refused(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    User.objects.create_user("taken@nordhavn.test", None)
    browser.sign_in()
    again = new_browser()
    response = again.sign_in(attributes={"mail": "taken@nordhavn.test"})

    assert again.user_id is None
    assert "which another account has" in response.content.decode()


def test_another_subject_with_the_address_of_a_linked_person_is_refused(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    browser.sign_in()
    successor = new_browser()
    response = successor.sign_in(subject="7002")

    assert successor.user_id is None
    assert "is linked to another person" in response.content.decode()


def test_an_organization_cannot_name_people_of_another(browser: Browser, charlie: User) -> None:
    response = browser.sign_in(attributes={"mail": charlie.email})

    assert browser.user_id is None
    assert response.status_code in (400, 403)
    assert "is not in a verified domain of Nordhavn Logistics" in response.content.decode()


def test_uninvited_people_stay_out_when_newcomers_must_be_invited(
    browser: Browser, saml: SSOConnection
) -> None:
    SSOConnection.objects.filter(pk=saml.pk).update(default_role="")

    response = browser.sign_in()

    assert browser.user_id is None
    assert "lets people in by invitation" in " ".join(response.content.decode().split())
    assert not User.objects.filter(email="dana@nordhavn.test").exists()


def test_a_deactivated_person_stays_out(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    browser.sign_in()
    User.objects.update(is_active=False)
    again = new_browser()
    response = again.sign_in()

    assert again.user_id is None
    assert "deactivated" in response.content.decode()


def test_an_answer_signs_in_once_even_in_the_same_browser(browser: Browser) -> None:
    asked = browser.leave()
    xml = answer(base=browser.base, asked=asked)
    browser.come_back(xml)
    browser.client.logout()

    browser.come_back(xml)

    assert browser.user_id is None


def test_assertions_are_forgotten_when_they_would_be_refused_for_their_age(
    browser: Browser,
) -> None:
    browser.sign_in()
    sweep_assertions(of_a_newer_portal=True)
    assert UsedAssertion.objects.count() == 1

    UsedAssertion.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep_assertions()

    assert not UsedAssertion.objects.exists()


def test_an_assertion_is_spent_even_if_its_state_is_begun_anew(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    asked = browser.leave()
    xml = answer(base=browser.base, asked=asked)
    browser.come_back(xml)
    thief = new_browser()
    thief.leave()
    session = thief.client.session
    states = session["socialaccount_states"]
    session["socialaccount_states"] = {asked: next(iter(states.values()))}
    session.save()

    response = thief.come_back(xml)

    assert thief.user_id is None
    assert "used already" in response.content.decode()


def test_an_answer_of_another_browser_signs_nobody_in(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    asked = browser.leave()

    victim = new_browser()
    response = victim.come_back(answer(base=browser.base, asked=asked))

    assert victim.user_id is None
    assert "belongs to a sign-in that did not begin in this browser" in response.content.decode()


def test_an_answer_that_nobody_asked_for_signs_nobody_in(browser: Browser) -> None:
    browser.come_back(answer(base=browser.base, asked=""))

    assert browser.user_id is None


def test_the_way_back_is_never_another_site(browser: Browser) -> None:
    asked = browser.leave(next="https://evil.test/")

    response = browser.come_back(answer(base=browser.base, asked=asked))

    assert browser.user_id
    assert response["Location"] == "/"


# The first two variants wrap the signature of the message, so there must be one.
WRAPPED = [
    (variant, signed)
    for variant in VARIANTS
    for signed in (("assertion",), ("assertion", "message"))
    if variant > 2 or "message" in signed
]


@pytest.mark.parametrize(("variant", "signed"), WRAPPED)
def test_signature_wrapping_is_refused(
    browser: Browser, variant: int, signed: tuple[str, ...], charlie: User
) -> None:
    victim = User.objects.create_user("victim@nordhavn.test", None)
    asked = browser.leave()
    genuine = answer(base=browser.base, asked=asked, signed=signed)

    response = browser.come_back(wrapped(genuine, variant, victim=victim.email))

    assert browser.user_id is None
    assert response.status_code in (400, 403)


def test_control_the_genuine_answer_of_the_wrapping_tests_signs_in(browser: Browser) -> None:
    browser.sign_in(signed=("assertion", "message"))

    assert browser.user_id


UPLOAD, LATE, CLOCKS = "upload its current metadata", "came too late", "compare the clocks of both"
URL, ADDRESS, OUTSIDE = "check the ACS URL", "sent no email address", "ask an owner to verify that"
BENT: dict[str, tuple[dict[str, object], str]] = {
    "nothing signed": ({"signed": ()}, "not signed as this connection requires"),
    "only the message signed": ({"signed": ("message",)}, "not signed as this connection requires"),
    "another key": ({"signer": make_signer("evil")}, UPLOAD),
    "sha-1": ({"signature": C.RSA_SHA1, "digest": C.SHA1}, "choose SHA-256"),
    "ended ten minutes ago": ({"not_before": -1200, "ends": -600}, LATE),
    "ended a moment ago": ({"not_before": -1200, "ends": -100}, LATE),
    "from the future": ({"not_before": 600, "ends": 1200}, CLOCKS),
    "another audience": ({"audience": "https://other.test/"}, "check the audience"),
    "another recipient": ({"recipient": "https://other.test/acs/"}, "is for another address"),
    "another destination": ({"destination": "https://other.test/acs/"}, URL),
    "another issuer": ({"issuer": "https://evil.test/"}, "names another issuer"),
    "a transient name": (
        {"format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"},
        "choose a persistent one",
    ),
    "no address": ({"attributes": {"displayName": "Dana"}}, ADDRESS),
    "an address elsewhere": ({"attributes": {"mail": "dana@evil.test"}}, OUTSIDE),
    "a comment in the address": (
        {"attributes": {"mail": "dana@nordhavn.test<!-- -->.evil.test"}},
        OUTSIDE,
    ),
    "two addresses in one": ({"attributes": {"mail": "x@evil.test@nordhavn.test"}}, ADDRESS),
    "a document type": (
        {"doctype": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'},
        "declares a document type",
    ),
}


@pytest.mark.parametrize(("bent", "message"), BENT.values(), ids=BENT)
def test_a_bent_answer_signs_nobody_in_and_says_why(
    browser: Browser,
    bent: dict[str, object],
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = browser.sign_in(**bent)

    page = words_of(response)
    assert browser.user_id is None
    assert response.status_code in (400, 403)
    assert "You are not signed in" in page
    assert message in page
    assert logged_reason(caplog, page)


@pytest.mark.parametrize(
    "posted", [{}, {"SAMLResponse": ""}, {"SAMLResponse": "garbage!!"}, {"SAMLResponse": "AAAA"}]
)
def test_garbage_is_a_page_and_no_error(browser: Browser, posted: dict[str, str]) -> None:
    response = browser.client.post(reverse("sso:acs", args=["nordhavn-saml"]), posted, follow=True)

    assert response.status_code in (400, 403)
    assert b"You are not signed in" in response.content


def test_an_answer_of_one_connection_is_nothing_to_another(
    browser: Browser, organization: Organization, saml: SSOConnection
) -> None:
    other = SSOConnection.objects.get(pk=saml.pk)
    other.pk, other.key, other.name = None, "nordhavn-other", "Other"
    other.save()
    asked = browser.leave()
    xml = answer(base=browser.base, asked=asked)

    elsewhere = Browser(other, browser.client)
    response = elsewhere.come_back(xml)

    assert elsewhere.user_id is None
    assert response.status_code in (400, 403)


def test_signatures_all_removed_is_refused(browser: Browser) -> None:
    asked = browser.leave()
    xml = answer(base=browser.base, asked=asked, signed=())
    assert NS["ds"].encode() not in xml

    browser.come_back(xml)

    assert browser.user_id is None


def test_both_certificates_of_a_rollover_are_believed(
    browser: Browser, saml: SSOConnection
) -> None:
    newer = make_signer("newer")
    saml.config["certificates"].append(newer.certificate)
    saml.save()

    browser.sign_in(signer=newer)

    assert browser.user_id


def test_a_connection_that_is_off_signs_nobody_in(browser: Browser, saml: SSOConnection) -> None:
    asked = browser.leave()
    SSOConnection.objects.update(is_enabled=False)

    browser.come_back(answer(base=browser.base, asked=asked))

    assert browser.user_id is None
    assert browser.client.post(reverse("sso:start", args=[saml.key])).status_code == 404


def test_a_second_factor_of_ones_own_is_asked_for_too(
    browser: Browser, new_browser: Callable[[], Browser]
) -> None:
    browser.sign_in()
    User.objects.get(pk=browser.user_id).authenticator_set.create(type="totp", data={"secret": "x"})
    again = new_browser()
    response = again.sign_in()

    assert response["Location"] == reverse("mfa_authenticate")
    assert again.user_id is None


def test_the_metadata_names_the_portal(client: Client, saml: SSOConnection) -> None:
    response = client.get(reverse("sso:metadata", args=[saml.key]))

    assert response.status_code == 200
    assert b"/accounts/sso/nordhavn-saml/acs/" in response.content
    assert b"nameid-format:persistent</md:NameIDFormat>" in response.content
    assert base64.b64encode(b"PRIVATE") not in response.content
