from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.access.grants.services import RightsExceeded, grant
from apps.accounts.mail import OUTBOX
from apps.accounts.models import OutgoingMail, User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, Refused
from apps.organizations.invitations import views as invitations
from apps.organizations.invitations.queries import usable_invitation
from apps.organizations.invitations.services import (
    InvitationUnusable,
    accept_invitation,
    invite,
    resend_invitation,
    revoke_invitation,
)
from apps.organizations.members.services import remove_person
from apps.organizations.models import Invitation
from apps.organizations.queries import is_member
from tests.conftest import make_user, role

NEW = "dora@example.org"
ACCOUNT = {"name": "Dora", "password": "correct horse battery"}


def path_of(url: str) -> str:
    return "/invitations/" + url.rstrip("/").rsplit("/", 1)[1] + "/"


def token_of(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[1]


@pytest.fixture
def without_mail_server(settings):
    settings.EMAIL_BACKEND = OUTBOX


@pytest.fixture
def link(alice, organization, workspace, without_mail_server):
    return invite(
        actor=alice,
        organization=organization,
        email=NEW,
        workspace=workspace,
        workspace_role="author",
    )


def test_a_mailed_link_is_not_shown_to_the_inviter(
    alice, organization, client_of, django_capture_on_commit_callbacks
):
    client = client_of(alice)

    with django_capture_on_commit_callbacks(execute=True):
        made = client.post("/o/nordhavn/members/invite/", {"email": NEW, "role": "member"})
        again = client.post(
            f"/o/nordhavn/invitations/{Invitation.objects.get().pk}/resend/", follow=True
        )

    links = [one.body.split("/invitations/")[1].split()[0] for one in mail.outbox]
    assert len(links) == 2
    pages = made.content.decode() + again.content.decode()
    assert not [link for link in links if link in pages]
    assert "/invitations/" not in made.content.decode()
    assert "is on its way to" in pages


def test_a_mailed_invitation_proves_the_address_and_a_shown_one_does_not(
    alice, organization, settings, client, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        invite(actor=alice, organization=organization, email=NEW)
    mailed = mail.outbox[0].body.split("/invitations/")[1].split()[0]
    settings.EMAIL_BACKEND = OUTBOX
    shown = invite(actor=alice, organization=organization, email="eve@example.org")
    # Configured after the link was shown: that it is accepted still proves nothing.
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

    client.post(f"/invitations/{mailed}", ACCOUNT)
    Client().post(path_of(shown), {**ACCOUNT, "name": "Eve"})

    proofs = dict(EmailAddress.objects.values_list("email", "verified"))
    assert proofs == {NEW: True, "eve@example.org": False}


def test_names_do_not_reach_the_subject_of_an_invitation(
    alice, organization, django_capture_on_commit_callbacks
):
    alice.name = "Your account is locked, call +1 555 0100"
    alice.save()

    with django_capture_on_commit_callbacks(execute=True):
        invite(actor=alice, organization=organization, email=NEW)

    assert mail.outbox[0].subject == "You are invited to Astro Portal"


def test_a_link_is_shown_once_where_no_mail_server_is(
    alice, organization, client_of, without_mail_server, django_capture_on_commit_callbacks
):
    client = client_of(alice)

    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(
            "/o/nordhavn/members/invite/", {"email": " Dora@example.org ", "role": "member"}
        )

    assert response.status_code == 200
    message = OutgoingMail.objects.get()
    link = message.body.split("/invitations/")[1].split()[0]
    assert f"/invitations/{link}" in response.content.decode()
    assert message.to == NEW
    assert link.strip("/") not in client.get("/o/nordhavn/members/").content.decode()
    assert AuditEvent.objects.filter(action="invitation.created", actor=alice).exists()


def test_a_new_person_makes_an_account_and_is_in(link, workspace, client):
    response = client.post(path_of(link), ACCOUNT)

    assert response.status_code == 302
    assert response["Location"] == "/w/warehouse/"
    dora = User.objects.get(email=NEW)
    assert client.session["_auth_user_id"] == str(dora.pk)
    assert dora.has_perm("deployment.deploys.create", workspace)
    assert not dora.has_perm("deployment.update", workspace)
    assert is_member(user=dora, organization=workspace.organization)


def test_an_invitation_works_once(link, client):
    client.post(path_of(link), ACCOUNT)

    assert client.get(path_of(link)).status_code == 410
    assert usable_invitation(token=token_of(link)) is None


def test_a_weak_password_is_refused_and_the_invitation_stays(link, client):
    response = client.post(path_of(link), {**ACCOUNT, "password": "dora"})

    assert response.status_code == 422
    assert not User.objects.filter(email=NEW).exists()
    assert usable_invitation(token=token_of(link)) is not None


def test_somebody_with_an_account_must_sign_in_with_that_address(link, client):
    make_user("Dora")

    response = client.get(path_of(link))

    assert b"Sign in to accept" in response.content
    assert "_auth_user_id" not in client.session


def test_somebody_with_an_account_accepts_by_a_button(link, workspace, client_of):
    dora = make_user("Dora")

    response = client_of(dora).post(path_of(link))

    assert response.status_code == 302
    assert User.objects.get(pk=dora.pk).has_perm("workspace.view", workspace)


def test_somebody_else_is_told_whom_the_invitation_is_for(link, charlie, client_of, workspace):
    client = client_of(charlie)

    response = client.post(path_of(link))

    assert b"dora@example.org" in response.content
    assert not User.objects.get(pk=charlie.pk).has_perm("workspace.view", workspace)


def test_the_service_refuses_somebody_else_too(link, charlie):
    with pytest.raises(Refused, match="dora@example.org"):
        accept_invitation(user=charlie, invitation=Invitation.objects.get())


def test_accepting_leaves_a_higher_role_as_it_is(alice, workspace, link):
    dora = make_user("Dora")
    grant(actor=None, user=dora, role=role("organization", "member"), on=workspace.organization)
    grant(actor=None, user=dora, role=role("workspace", "owner"), on=workspace)

    accept_invitation(user=dora, invitation=Invitation.objects.get())

    assert dora.has_perm("workspace.members.manage", workspace)


def test_an_expired_invitation_is_dead_and_may_be_made_again(alice, organization, link, client):
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert client.get(path_of(link)).status_code == 410
    assert invite(actor=alice, organization=organization, email=NEW) != link


def test_sending_again_makes_a_new_link_and_kills_the_old(alice, link, client):
    again = resend_invitation(actor=alice, invitation=Invitation.objects.get())

    assert client.get(path_of(link)).status_code == 410
    assert client.get(path_of(again)).status_code == 200


def test_a_withdrawn_invitation_is_dead(alice, link, client):
    revoke_invitation(actor=alice, invitation=Invitation.objects.get())

    assert client.get(path_of(link)).status_code == 410
    with pytest.raises(InvitationUnusable):
        revoke_invitation(actor=alice, invitation=Invitation.objects.get())


def test_an_invitation_dies_with_the_rights_of_who_made_it(alice, organization, workspace, link):
    other = make_user("Other")
    grant(actor=None, user=other, role=role("organization", "owner"), on=organization)
    remove_person(actor=other, user=alice, on=organization)
    dora = make_user("Dora")

    with pytest.raises(Refused, match="can no longer"):
        accept_invitation(user=dora, invitation=Invitation.objects.get())

    assert not is_member(user=dora, organization=organization)


def test_nobody_is_invited_twice(alice, organization, link):
    with pytest.raises(Invalid, match="already invited"):
        invite(actor=alice, organization=organization, email=NEW.upper())


def test_a_member_is_not_invited(alice, bob, organization):
    with pytest.raises(Invalid, match="already"):
        invite(actor=alice, organization=organization, email=bob.email)


def test_nobody_offers_more_than_they_hold(bob, organization, workspace):
    grant(actor=None, user=bob, role=role("workspace", "owner"), on=workspace)

    with pytest.raises(RightsExceeded):
        invite(
            actor=bob,
            organization=organization,
            email=NEW,
            organization_role="owner",
            workspace=workspace,
            workspace_role="member",
        )


def test_an_owner_of_a_workspace_invites_into_it_and_takes_it_back(
    bob, organization, workspace, client_of
):
    grant(actor=None, user=bob, role=role("workspace", "owner"), on=workspace)
    client = client_of(bob)

    made = client.post("/w/warehouse/members/add/", {"email": NEW, "role": "member"})
    assert made.status_code == 200
    invitation = Invitation.objects.get()
    assert b"dora@example.org" in client.get("/w/warehouse/members/").content

    client.post(f"/w/warehouse/invitations/{invitation.pk}/revoke/")
    invitation.refresh_from_db()
    assert invitation.revoked_at is not None


def test_the_form_names_the_field_at_fault(alice, bob, organization, client_of):
    client = client_of(alice)

    for email in ("no address", bob.email):
        answers = {"email": email, "role": "member"}
        response = client.post("/o/nordhavn/members/invite/", answers)
        assert response.status_code == 422
        assert b'aria-invalid="true"' in response.content


def test_an_unknown_role_is_refused(alice, organization, client_of):
    response = client_of(alice).post(
        "/o/nordhavn/members/invite/", {"email": NEW, "role": "emperor"}
    )

    assert response.status_code == 422


def test_an_invitation_of_another_organization_cannot_be_touched(alice, charlie, link, client_of):
    pk = Invitation.objects.get().pk

    client = client_of(charlie)

    assert client.post(f"/o/elsewhere/invitations/{pk}/revoke/").status_code == 404
    assert client.post(f"/o/nordhavn/invitations/{pk}/revoke/").status_code == 404


def test_a_mail_server_that_fails_does_not_undo_the_invitation(
    alice, organization, settings, client_of, django_capture_on_commit_callbacks
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    response = client_of(alice).post(
        "/o/nordhavn/members/invite/", {"email": NEW, "role": "member"}
    )

    assert response.status_code == 200
    assert Invitation.objects.filter(email=NEW).exists()


def test_an_account_made_in_this_moment_is_asked_to_sign_in(
    alice, organization, client, monkeypatch, without_mail_server
):
    path = path_of(invite(actor=alice, organization=organization, email=NEW))
    make = invitations.accept_as_new_person

    def too_late(**kwargs):
        make_user("Dora")
        return make(**kwargs)

    monkeypatch.setattr(invitations, "accept_as_new_person", too_late)

    response = client.post(path, ACCOUNT, follow=True)

    assert response.redirect_chain == [(path, 302)]
    assert b"Sign in to accept it" in response.content
