"""Where a domain enforces single sign-on, every other way to begin a session is refused."""

import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import Client

from apps.accounts.mail import OUTBOX
from apps.accounts.models import SignInLink, User
from apps.accounts.services import issue_sign_in_link
from apps.audit.models import AuditEvent
from apps.organizations.invitations.services import invite
from apps.organizations.models import PersonalToken
from apps.organizations.queries import is_member
from apps.organizations.tokens.personal import create_personal_token
from apps.sso.connections.services import make_bypass_link
from apps.sso.domains.services import enforce_sso
from apps.sso.models import Domain, SSOConnection
from tests.conftest import put_role, role

pytestmark = pytest.mark.django_db


@pytest.fixture
def enforced(domain: Domain, saml: SSOConnection, settings) -> Domain:
    settings.EMAIL_BACKEND = OUTBOX
    domain.is_enforced = True
    domain.save()
    return domain


@pytest.fixture
def erin(db: None) -> User:
    return User.objects.create_user("erin@nordhavn.test", "correct horse battery", name="Erin")


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_accepting_an_invitation_leads_to_the_identity_provider(
    enforced, alice, organization, client
):
    link = invite(actor=alice, organization=organization, email="new@nordhavn.test")
    path = re.sub(r"^https?://[^/]+", "", link)

    assert b"password" not in client.get(path).content.lower()
    response = client.post(path, {"name": "New", "password": "correct horse battery"})

    assert not is_signed_in(client)
    assert b"Sign in through your organization" in response.content
    person = User.objects.get(email="new@nordhavn.test")
    assert not person.has_usable_password()
    assert is_member(user=person, organization=organization)


def test_a_sign_in_link_is_refused_and_stays_usable(enforced, erin, client):
    token = issue_sign_in_link(user=erin)

    response = client.post(f"/setup/{token}/")

    assert response.status_code == 403
    assert not is_signed_in(client)
    assert SignInLink.objects.get().used_at is None


def test_a_sign_in_link_that_was_made_to_bypass_it_signs_in_and_is_recorded(enforced, erin, client):
    printed = StringIO()
    call_command("signin_link", email=erin.email, bypass_single_sign_on=True, stdout=printed)
    token = printed.getvalue().strip().rsplit("/", 2)[1]

    assert client.post(f"/setup/{token}/").status_code == 302
    assert is_signed_in(client)
    event = AuditEvent.objects.get(action="person.signed_in_by_link")
    assert event.changes == {"single sign-on": ["as enforced", "bypassed"]}


def test_a_reset_password_signs_in_no_more_than_the_old_one(enforced, erin, client):
    erin.set_password("another horse battery")
    erin.save()

    client.post("/accounts/login/", {"login": erin.email, "password": "another horse battery"})

    assert not is_signed_in(client)


@pytest.mark.parametrize("spelling", ["münchen.test", "MÜNCHEN.test", "xn--mnchen-3ya.test"])
def test_a_domain_is_the_same_in_each_spelling(enforced, alice, client, organization, spelling):
    Domain.objects.update(name="xn--mnchen-3ya.test")
    person = User.objects.create_user(f"erin@{spelling}", "correct horse battery", name="Erin")
    put_role(person, role("organization", "member"), organization)
    create_personal_token(user=person, organization=organization, name="laptop", days=1)
    make_bypass_link(actor=alice, organization=organization)

    client.post("/accounts/login/", {"login": person.email, "password": "correct horse battery"})
    enforce_sso(actor=alice, domain=Domain.objects.get(), is_enforced=True)

    assert not is_signed_in(client)
    assert not PersonalToken.objects.exists()


def test_a_closed_account_is_not_signed_in_by_an_invitation_that_made_it(
    alice, organization, client, settings, monkeypatch
):
    settings.EMAIL_BACKEND = OUTBOX
    link = invite(actor=alice, organization=organization, email="new@elsewhere.test")
    monkeypatch.setattr(
        "apps.organizations.invitations.views.accept_as_new_person",
        lambda **_: User.objects.create(email="new@elsewhere.test", is_active=False),
    )

    client.post(
        re.sub(r"^https?://[^/]+", "", link), {"name": "New", "password": "correct horse battery"}
    )

    assert not is_signed_in(client)


def test_no_other_module_begins_a_session():
    """Django's `login` asks nothing; only the adapter does."""
    found = [
        path
        for path in Path("apps").rglob("*.py")
        if re.search(r"contrib\.auth import .*\blogin\b|\bauth\.login\(", path.read_text())
        and "auth.login(return_to" not in path.read_text()
    ]

    assert found == []
