"""Changes of second factors are in the audit log and in a mail to the person."""

import re
import time

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from tests.conftest import make_user

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    """allauth tells of a change when it is committed."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def person(bob) -> User:
    EmailAddress.objects.create(user=bob, email=bob.email, primary=True, verified=True)
    return bob


def activate(client) -> None:
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    code = format_hotp_value(hotp_value(secret[1], int(time.time()) // 30))
    client.post(reverse("mfa_activate_totp"), {"code": code})


def test_an_added_app_is_recorded_and_mailed(
    person, organization, client_of, mailoutbox, committing
):
    with committing():
        activate(client_of(person))

    events = AuditEvent.objects.filter(organization_id=organization.pk, actor=person)
    app = events.get(changes__has_key="authenticator app")
    assert (app.action, app.target_label) == ("second_factor.added", "bob@example.org")
    assert events.get(changes__has_key="recovery codes").action == "second_factor.added"
    texts = " ".join(message.body for message in mailoutbox)
    assert "Authenticator app activated." in texts
    assert "/account/sessions/" in texts
    assert "example.com" not in texts


def test_a_removed_app_is_recorded_and_mailed(person, client_of, mailoutbox, committing):
    TOTP.activate(person, SECRET)

    with committing():
        client_of(person).post(reverse("mfa_deactivate_totp"))

    assert AuditEvent.objects.get(action="second_factor.removed").actor == person
    assert "deactivated" in mailoutbox[0].body


def test_new_recovery_codes_are_recorded_without_the_codes(person, client_of, committing):
    TOTP.activate(person, SECRET)
    RecoveryCodes.activate(person)

    with committing():
        client_of(person).post(reverse("mfa_generate_recovery_codes"))

    event = AuditEvent.objects.filter(changes__has_key="recovery codes").latest("pk")
    assert event.changes == {"recovery codes": ["old ones", "new ones"]}


def test_somebody_in_no_organization_is_in_the_log_of_the_installation(db, client_of, committing):
    loner = make_user("Loner")

    with committing():
        activate(client_of(loner))

    assert set(AuditEvent.objects.values_list("organization_id", flat=True)) == {None}


def test_a_changed_password_is_mailed(person, client_of, mailoutbox):
    client = client_of(person)

    client.post(
        reverse("account_change_password"),
        {
            "oldpassword": "correct horse battery",
            "password1": "another good pass phrase",
            "password2": "another good pass phrase",
        },
    )

    assert "password" in mailoutbox[0].subject.lower()
