"""Sign-in by SAML: who comes in, and every answer that must sign nobody in."""

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from lxml import etree
from onelogin.saml2.constants import OneLogin_Saml2_Constants as C

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization
from apps.organizations.queries import is_member
from apps.sso.encryption import add_encryption_key
from apps.sso.models import SSOConnection, UsedAssertion
from apps.sso.tasks import sweep_assertions
from tests.sso import identity_provider
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
    left = successor.sign_in(subject="7002")
    response = successor.client.get(left["Location"])

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


def test_an_answer_may_hold_as_long_as_can_be_written(browser: Browser) -> None:
    seconds = datetime(9999, 12, 31, 23, 0, tzinfo=UTC) - datetime.now(UTC)

    browser.sign_in(ends=int(seconds.total_seconds()))

    assert browser.user_id
    assert UsedAssertion.objects.get().expires_at.year > 5000


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
    for signed in (("assertion",), ("message",), ("assertion", "message"))
    if (variant > 2 or "message" in signed) and (variant < 3 or "assertion" in signed)
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
FOR = "is for another address"
URL, ADDRESS, OUTSIDE = "check the ACS URL", "sent no email address", "ask an owner to verify that"
BENT: dict[str, tuple[dict[str, object], str]] = {
    "nothing signed": ({"signed": ()}, "not signed as this connection requires"),
    "another key": ({"signer": make_signer("evil")}, UPLOAD),
    "sha-1": ({"signature": C.RSA_SHA1, "digest": C.SHA1}, "choose SHA-256"),
    "ended ten minutes ago": ({"not_before": -1200, "ends": -600}, LATE),
    "ended a moment ago": ({"not_before": -1200, "ends": -100}, LATE),
    "from the future": ({"not_before": 600, "ends": 1200}, CLOCKS),
    "another audience": ({"audience": "https://other.test/"}, "check the audience"),
    "another recipient": ({"recipient": "https://other.test/acs/"}, "is for another address"),
    "no audience": ({"audience": ()}, "check the audience"),
    "another audience beside ours": (
        {"audience": ("http://localhost:8080/x/", "https://other.test/")},
        "check the audience",
    ),
    "no recipient": ({"recipient": None}, "is for another address"),
    "our address behind another recipient": ({"recipient": "https://evil.test/?x={acs}"}, FOR),
    "more behind our recipient": ({"recipient": "{acs}?x=1"}, "is for another address"),
    "no end": ({"ends": None}, "it came too late"),
    "no destination": ({"destination": None}, URL),
    "more behind our destination": ({"destination": "{acs}more/"}, URL),
    "a confirmation for no request": ({"confirms": ""}, "is for another address"),
    "no name": ({"name_id": ""}, "names no person"),
    "an empty name": ({"subject": ""}, "names no person"),
    "a name for another application": (
        {"name_id": '<saml:NameID SPNameQualifier="https://other.test/">7001</saml:NameID>'},
        "leave out SPNameQualifier",
    ),
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
    acs = f"{browser.base}acs/"
    known = {k: v.replace("{acs}", acs) if isinstance(v, str) else v for k, v in bent.items()}

    response = browser.sign_in(**known)

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


@pytest.mark.parametrize("signed", [("message",), ("assertion",)])
def test_the_request_that_is_answered_is_read_from_what_is_signed(
    browser: Browser, new_browser: Callable[[], Browser], signed: tuple[str, ...]
) -> None:
    """An assertion that the thief asked for is put into a response to the victim's request."""
    stolen = answer(base=browser.base, asked=browser.leave(), signed=("assertion",))
    unasked = answer(base=browser.base, asked="", signed=signed)
    victim = new_browser()
    asked = victim.leave().encode()

    for xml in (stolen, unasked):
        forged = re.sub(rb'(Version="2.0"[^>]*?)(InResponseTo="[^"]*")?>', rb"\1>", xml, count=1)
        head, _, rest = forged.partition(b">")
        victim.come_back(head + b' InResponseTo="' + asked + b'">' + rest)

        assert victim.user_id is None


def test_no_session_is_made_for_what_is_not_believed(browser: Browser, saml: SSOConnection) -> None:
    acs = reverse("sso:acs", args=[saml.key])
    forged = answer(base=browser.base, asked="x", signer=make_signer("evil"))
    posts = [b"garbage", b"x" * 200_000, forged]

    for xml in posts:
        stranger = Client()
        response = stranger.post(acs, {"SAMLResponse": base64.b64encode(xml).decode()})
        stranger.get(response["Location"])

    assert not Session.objects.exists()


def test_a_believed_answer_makes_one_session_whatever_is_posted_again(
    browser: Browser, saml: SSOConnection
) -> None:
    xml = answer(base=browser.base, asked="_no-request")

    for _ in range(3):
        posted = {"SAMLResponse": base64.b64encode(xml).decode()}
        Client().post(reverse("sso:acs", args=[saml.key]), posted)

    assert Session.objects.count() == 1
    assert Session.objects.get().expire_date < timezone.now() + timedelta(minutes=6)


@pytest.mark.parametrize("said", ["forged", "a:b:c"])
def test_a_forged_problem_is_not_shown(browser: Browser, saml: SSOConnection, said: str) -> None:
    response = browser.client.get(reverse("sso:acs_finish", args=[saml.key]), {"problem": said})

    assert response.status_code == 400
    assert "This sign-in is over" in words_of(response)


def test_a_signed_response_covers_its_assertion(browser: Browser) -> None:
    browser.sign_in(signed=("message",))

    assert browser.user_id


@pytest.mark.parametrize("length", [190, 191, 400])
def test_a_long_subject_is_the_same_person_again(
    browser: Browser, new_browser: Callable[[], Browser], length: int
) -> None:
    browser.sign_in(subject="x" * length)
    again = new_browser()
    again.sign_in(subject="x" * length)
    other = new_browser()
    other.sign_in(subject="x" * (length - 1) + "y", attributes={"mail": "eve@nordhavn.test"})

    assert browser.user_id
    assert again.user_id == browser.user_id
    assert other.user_id not in (None, browser.user_id)


def test_an_encrypted_assertion_is_read(browser: Browser, saml: SSOConnection) -> None:
    add_encryption_key(saml)
    saml.save()

    browser.sign_in(encrypted_for=saml.encryption_certificate)

    assert browser.user_id


@pytest.mark.parametrize(
    "bent",
    [
        {"signer": make_signer("evil")},
        {"encryption": {"transport": "1.5"}},
        {"encrypted_for": make_signer("evil").certificate},
        {"recipient": "https://other.test/"},
        {"signed": ()},
    ],
)
def test_whatever_is_wrong_with_an_encrypted_answer_is_one_sentence(
    browser: Browser, saml: SSOConnection, bent: dict[str, object]
) -> None:
    add_encryption_key(saml)
    saml.save()

    response = browser.sign_in(**{"encrypted_for": saml.encryption_certificate, **bent})

    assert browser.user_id is None
    assert "The encrypted answer of the identity provider was refused." in words_of(response)


def test_an_encrypted_answer_to_a_connection_without_a_key_says_so(browser: Browser) -> None:
    response = browser.sign_in(encrypted_for=make_signer("evil").certificate)

    assert "this connection has no certificate for that" in words_of(response)


XSLT = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet '
    'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:template match="/"><r>'
    '<xsl:for-each select="//*"><xsl:for-each select="//*"><a/></xsl:for-each></xsl:for-each>'
    "</r></xsl:template></xsl:stylesheet></ds:Transform>"
)
XPATH = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
    "<ds:XPath>count(//*//*//*) &gt; 0</ds:XPath></ds:Transform>"
)
FETCHED = '<ds:Reference URI="http://127.0.0.1:1/x">'
UNUSUAL: dict[str, tuple[str, str, str]] = {
    "a stylesheet": ("</ds:Transforms>", f"{XSLT}</ds:Transforms>", "a transform"),
    "a path": ("</ds:Transforms>", f"{XPATH}</ds:Transforms>", "a transform"),
    "an address": (
        '<ds:Reference URI="',
        f'{FETCHED}</ds:Reference><ds:Reference URI="',
        "several",
    ),
    "an address alone": ('<ds:Reference URI="', '<ds:Reference URI="http://127.0.0.1:1/', "elsew"),
}


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("before", "after", "why"), UNUSUAL.values(), ids=UNUSUAL)
def test_nothing_that_a_stranger_sends_is_run_or_fetched_to_judge_a_signature(
    browser: Browser,
    saml: SSOConnection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    before: str,
    after: str,
    why: str,
    is_encrypted: bool,
) -> None:
    add_encryption_key(saml)
    saml.save()
    signed = identity_provider._signed
    monkeypatch.setattr(
        identity_provider, "_signed", lambda *given: signed(*given).replace(before, after, 1)
    )

    page = browser.sign_in(encrypted_for=saml.encryption_certificate if is_encrypted else "")

    assert browser.user_id is None
    assert why in logged_reason(caplog, page.content.decode())


def test_encrypted_data_is_not_fetched_from_elsewhere(
    browser: Browser, saml: SSOConnection, caplog: pytest.LogCaptureFixture
) -> None:
    add_encryption_key(saml)
    saml.save()
    whole = answer(
        base=browser.base, asked=browser.leave(), encrypted_for=saml.encryption_certificate
    ).decode()
    value = re.findall(r"<xenc:CipherValue>.*?</xenc:CipherValue>", whole, re.DOTALL)[-1]

    page = browser.come_back(
        whole.replace(value, '<xenc:CipherReference URI="http://127.0.0.1:1/x"/>').encode()
    )

    assert "encrypted data elsewhere" in logged_reason(caplog, page.content.decode())


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


def test_the_metadata_holds_the_certificate_for_encryption(
    client: Client, saml: SSOConnection
) -> None:
    add_encryption_key(saml)
    saml.save()

    root = etree.fromstring(client.get(reverse("sso:metadata", args=[saml.key])).content)

    [key] = root.findall(".//{*}KeyDescriptor")
    assert key.get("use") == "encryption"
    body = "".join(saml.encryption_certificate.split("-----")[2].split())
    assert key.findtext(".//{*}X509Certificate") == body


def test_the_metadata_names_the_portal(client: Client, saml: SSOConnection) -> None:
    response = client.get(reverse("sso:metadata", args=[saml.key]))

    assert response.status_code == 200
    assert b"/accounts/sso/nordhavn-saml/acs/" in response.content
    assert b"nameid-format:persistent</md:NameIDFormat>" in response.content
    assert b"validUntil" not in response.content
    assert base64.b64encode(b"PRIVATE") not in response.content
