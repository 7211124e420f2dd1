from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.models import SignInLink, User
from apps.accounts.queries import usable_link
from apps.accounts.services import LinkUnusable, issue_sign_in_link, use_sign_in_link
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization, Workspace
from tests.conftest import make_user

ANSWERS = {
    "email": "Ada@Example.org",
    "name": "Ada Byron",
    "password": "correct horse battery",
    "organization_name": "Nordhavn",
    "workspace_name": "Warehouse",
}


def printed_by_the_command(**options: str) -> str:
    out = StringIO()
    call_command("signin_link", stdout=out, **options)
    return out.getvalue().strip()


def test_a_new_installation_gets_a_setup_link(db, settings):
    link = printed_by_the_command()

    assert link.startswith(f"{settings.PORTAL_URL}/setup/")


def test_nothing_is_printed_when_there_is_an_administrator(db):
    make_user("Ada", is_operator=True)

    assert printed_by_the_command() == ""


def test_a_new_link_voids_the_earlier_one(db):
    first, second = issue_sign_in_link(user=None), issue_sign_in_link(user=None)

    assert usable_link(token=first) is None
    assert usable_link(token=second) is not None


def test_the_token_is_not_stored(db):
    token = issue_sign_in_link(user=None)

    assert not SignInLink.objects.filter(token_digest=token).exists()


def test_looking_at_the_setup_page_does_not_spend_the_link(db, client):
    token = issue_sign_in_link(user=None)

    assert client.get(f"/setup/{token}/").status_code == 200
    assert client.get(f"/setup/{token}/").status_code == 200


def test_the_page_names_its_address_to_nobody(db, client):
    token = issue_sign_in_link(user=None)

    for path in (f"/setup/{token}/", "/setup/nonsense/", "/invitations/nonsense/"):
        assert client.get(path)["Referrer-Policy"] == "strict-origin"


def test_setting_up_makes_owner_organization_workspace_and_cluster_and_signs_in(db, client):
    token = issue_sign_in_link(user=None)

    response = client.post(f"/setup/{token}/", ANSWERS)

    assert response.status_code == 302
    assert response["Location"] == "/w/warehouse/"
    owner = User.objects.get()
    assert owner.email == "ada@example.org"
    assert owner.is_operator
    assert client.session["_auth_user_id"] == str(owner.pk)
    workspace = Workspace.objects.get()
    assert owner.has_perm("deployment.delete", workspace)
    assert workspace.organization.clusters.get().kind == "local"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert actions >= {"organization.created", "workspace.created", "cluster.registered"}


def test_a_refused_password_leaves_the_link_usable_and_nothing_behind(db, client):
    token = issue_sign_in_link(user=None)

    response = client.post(f"/setup/{token}/", {**ANSWERS, "password": "short"})

    assert response.status_code == 422
    assert b"too short" in response.content
    assert not User.objects.exists()
    assert not Organization.objects.exists()
    assert usable_link(token=token) is not None


def test_a_setup_link_works_once(db, client):
    token = issue_sign_in_link(user=None)
    client.post(f"/setup/{token}/", ANSWERS)

    response = client.post(f"/setup/{token}/", {**ANSWERS, "email": "eve@example.org"})

    assert response.status_code == 410
    assert b"signin_link" in response.content
    assert User.objects.count() == 1


def test_an_expired_link_says_how_to_get_another(db, client):
    token = issue_sign_in_link(user=None)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    response = client.get(f"/setup/{token}/")

    assert response.status_code == 410
    assert b"signin_link" in response.content


def test_a_setup_link_is_dead_once_there_is_an_administrator(db, client):
    token = issue_sign_in_link(user=None)
    make_user("Ada", is_operator=True)

    assert client.post(f"/setup/{token}/", ANSWERS).status_code == 410


def test_a_person_signs_in_by_a_link_made_for_them(bob, client):
    token = printed_by_the_command(email="bob@example.org").rsplit("/", 2)[1]

    page = client.get(f"/setup/{token}/")
    assert b"bob@example.org" in page.content
    assert "_auth_user_id" not in client.session

    response = client.post(f"/setup/{token}/")
    assert response.status_code == 302
    assert client.session["_auth_user_id"] == str(bob.pk)
    assert AuditEvent.objects.filter(action="person.signed_in_by_link", actor=bob).exists()


def test_a_link_is_spent_once_only(bob):
    token = issue_sign_in_link(user=bob)
    use_sign_in_link(token=token)

    with pytest.raises(LinkUnusable):
        use_sign_in_link(token=token)


def test_a_disabled_person_gets_no_link_and_cannot_use_an_old_one(bob, client):
    token = issue_sign_in_link(user=bob)
    User.objects.update(is_active=False)

    assert client.post(f"/setup/{token}/").status_code == 410
    with pytest.raises(CommandError, match="bob@example.org"):
        printed_by_the_command(email="bob@example.org")


def test_nonsense_is_no_link(db, client):
    assert client.get("/setup/nonsense/").status_code == 410
