"""An address is proved by mail that reaches it. What was set up before the proof ends with it."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.internal.auth import WebAuthn
from allauth.usersessions.models import UserSession
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.mail import OUTBOX
from apps.accounts.models import OutgoingMail, User
from apps.accounts.sign_in.address_proof import is_address_proved
from apps.audit.models import AuditEvent
from apps.deploys.models import (
    BranchRule,
    GitRepository,
    GitSource,
    Promotion,
    PromotionState,
)
from apps.organizations.invitations.services import invite
from apps.organizations.models import ApiTokenSecret, Invitation
from apps.organizations.tokens.services import create_token
from apps.sso.linking.reach import is_beyond
from apps.sso.linking.services import add_link
from apps.sso.models import SSOConnection
from apps.sso.scim.tokens import create_scim_token, scim_token
from tests.alerts.examples import make_channel
from tests.conftest import PASSWORD, role
from tests.slow_bodies import sent_slowly

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another horse battery"


def give_factors(person: User) -> None:
    TOTP.activate(person, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(person)
    credential = {"credential": {"clientExtensionResults": {"credProps": {"rk": True}}}}
    WebAuthn.add(person, "Mallory's key", credential)


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def reset_password(person: User, *, mails=lambda: mail.outbox[-1].body) -> None:
    """Reset the password the way its owner does, in a browser of their own."""
    owner = Client()
    owner.post(reverse("account_reset_password"), {"email": person.email})
    found = re.search(r"https?://[^/]+(/accounts/password/reset/key/\S+)", mails())
    assert found is not None
    page = owner.get(found[1], follow=True)
    answers = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    response = owner.post(page.request["PATH_INFO"], answers)
    assert response.status_code == 302
    assert owner.get(response["Location"]).status_code == 200


def test_a_reset_ends_what_was_set_up_before_the_address_was_proved(bob, client_of, committing):
    intruder = client_of(bob)
    intruder.get("/account/")
    give_factors(bob)

    with committing():
        reset_password(bob)

    assert intruder.get("/account/").status_code == 302
    assert not Authenticator.objects.filter(user=bob).exists()
    assert not UserSession.objects.filter(user=bob).exists()
    assert EmailAddress.objects.get(user=bob).verified
    told = next(one for one in mail.outbox if "Earlier access" in one.subject)
    assert told.to == [bob.email]
    assert "the passkey Mallory's key" in told.body
    assert "1 session" in told.body


def test_a_request_that_began_before_a_reset_changes_nothing_after_it(bob, client_of, committing):
    """It knows the old password, and would set another one that it is compared with."""
    intruder = client_of(bob)
    intruder.handler.enforce_csrf_checks = True
    token = intruder.get("/account/").context["csrf_token"]
    form = {"oldpassword": PASSWORD, "password1": "of an intruder", "password2": "of an intruder"}
    body = urlencode({**form, "csrfmiddlewaretoken": token}).encode()

    with committing():
        answer = intruder.post(
            reverse("account_change_password"),
            content_type="application/x-www-form-urlencoded",
            **sent_slowly(body, meanwhile=lambda: reset_password(bob)),
        )

    bob.refresh_from_db()
    assert bob.check_password(NEW_PASSWORD)
    assert answer["Location"].startswith(reverse("account_login"))
    assert not UserSession.objects.filter(user=bob).exists()


def test_a_reset_keeps_the_second_factors_of_a_proved_address(bob, client_of, committing):
    EmailAddress.objects.create(user=bob, email=bob.email, primary=True, verified=True)
    give_factors(bob)

    with committing():
        reset_password(bob)

    assert Authenticator.objects.filter(user=bob).count() == 3
    assert not [one for one in mail.outbox if "Earlier access" in one.subject]


def test_a_second_reset_keeps_what_was_set_up_since(bob, committing):
    with committing():
        reset_password(bob)
    give_factors(bob)

    with committing():
        reset_password(bob)

    assert Authenticator.objects.filter(user=bob).count() == 3


def test_without_a_mail_server_a_reset_proves_nothing_and_still_ends_it(
    bob, settings, client_of, committing
):
    settings.EMAIL_BACKEND = OUTBOX
    give_factors(bob)

    with committing():
        reset_password(bob, mails=lambda: OutgoingMail.objects.latest("pk").body)

    assert not Authenticator.objects.filter(user=bob).exists()
    assert not EmailAddress.objects.filter(user=bob, verified=True).exists()


def test_it_is_in_the_audit_log_as_done_by_the_portal(bob, organization, committing):
    give_factors(bob)

    with committing():
        reset_password(bob)

    events = AuditEvent.objects.filter(action="second_factor.removed")
    assert {one.actor for one in events} == {None}
    assert {one.organization_id for one in events} == {organization.pk}


def test_tokens_and_invitations_made_before_the_proof_end_too(alice, workspace, committing):
    create_token(
        actor=alice,
        on=workspace,
        name="left behind",
        role=role("workspace", "member"),
        expires_at=None,
    )
    invite(actor=alice, organization=workspace.organization, email="friend@example.org")

    with committing():
        reset_password(alice)

    assert not ApiTokenSecret.objects.exists()
    assert Invitation.objects.get().revoked_at is not None
    told = next(one for one in mail.outbox if "Earlier access" in one.subject)
    assert "API token left behind" in told.body
    assert "the invitation of friend@example.org" in told.body


def test_a_first_link_ends_the_password_as_well(bob, committing):
    # Imported here: the other tests of this file also run on a portal that lacks it.
    from apps.accounts.sign_in.address_proof import prove_address  # noqa: PLC0415

    with committing():
        assert prove_address(user=bob, by="single sign-on of Nordhavn")

    bob.refresh_from_db()
    assert not bob.check_password(PASSWORD)
    assert "was confirmed by single sign-on of Nordhavn" in mail.outbox[0].body
    assert not prove_address(user=bob, by="single sign-on of Nordhavn")


def test_what_acts_for_the_account_ends_at_the_proof(alice, workspace, deployment, committing):
    """A token for provisioning, what sign-in answers for, and what git deploys."""
    organization = workspace.organization
    text = create_scim_token(actor=alice, organization=organization, name="of an intruder")
    connection = SSOConnection.objects.create(
        organization=organization,
        key="k",
        name="Evil",
        protocol="saml",
        configured_by=alice,
        approved_by=alice,
        approved_at=timezone.now(),
    )
    repository = GitRepository.objects.create(
        workspace=workspace,
        key="r",
        url="https://git.example.org/a.git",
        host="git.example.org",
        connected_by=alice,
    )
    source = GitSource.objects.create(
        deployment=deployment, repository=repository, branch="main", set_by=alice
    )
    rule = BranchRule.objects.create(
        repository=repository, template=deployment, pattern="*", most=1, days=1, set_by=alice
    )
    promotion = Promotion.objects.create(
        deployment=deployment,
        number=1,
        source_name="etl-dev",
        created_by=alice,
        expires_at=timezone.now() + timedelta(days=1),
    )
    channel = make_channel(workspace, alice, "dag", deployment=deployment)

    with committing():
        reset_password(alice)

    assert scim_token(text=text, slug=organization.slug) is None
    for row in (connection, repository, source, rule, promotion, channel):
        row.refresh_from_db()
    assert (connection.configured_by, connection.approved_by, connection.approved_at) == (None,) * 3
    assert is_beyond(connection=connection, user=alice)
    assert (repository.connected_by, source.set_by, rule.set_by) == (None,) * 3
    assert (promotion.state, channel.config["by"]) == (PromotionState.WITHDRAWN, None)
    told = next(one for one in mail.outbox if "Earlier access" in one.subject).body
    for words in (
        "SCIM token of an intruder",
        "connection Evil",
        "git.example.org/a",
        "main of",
        "branches of",
        "etl-dev",
        "dag channel",
    ):
        assert words in told
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"scim_token.revoked", "sso_connection.unapproved", "git_repository.orphaned"} <= actions


@pytest.mark.parametrize("field", ["configured_by", "approved_by", None])
def test_a_connection_proves_nothing_of_whoever_set_it_up(bob, workspace, committing, field):
    connection = SSOConnection.objects.create(
        organization=workspace.organization,
        key="k",
        name="Own",
        protocol="saml",
        **({field: bob} if field else {}),
    )

    with committing():
        add_link(connection=connection, subject="bob", user=bob)

    assert is_address_proved(user=bob) is (field is None)
