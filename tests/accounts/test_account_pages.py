import threading

import pytest
from django.core import mail
from django.core.mail import EmailMessage, send_mail
from django.urls import reverse

from apps.accounts.models import OutgoingMail, User
from tests.conftest import PASSWORD, make_user


def test_a_person_signs_in_with_address_and_password(bob, client):
    response = client.post("/accounts/login/", {"login": "Bob@Example.org", "password": PASSWORD})

    assert response.status_code == 302
    assert client.session["_auth_user_id"] == str(bob.pk)


def test_a_wrong_password_says_nothing_about_the_account(bob, client):
    known = client.post("/accounts/login/", {"login": bob.email, "password": "no"})
    unknown = client.post("/accounts/login/", {"login": "x@example.org", "password": "no"})

    assert b"The email address or password is incorrect." in known.content
    assert b"The email address or password is incorrect." in unknown.content


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:x()"])
def test_sign_in_never_leads_to_another_site(bob, client, target):
    response = client.post(
        f"/accounts/login/?next={target}",
        {"login": bob.email, "password": PASSWORD, "next": target},
    )

    assert response.status_code == 302
    assert response["Location"] == "/"


def test_sign_in_leads_back_to_the_page_asked_for(bob, client):
    response = client.post(
        "/accounts/login/", {"login": bob.email, "password": PASSWORD, "next": "/account/"}
    )

    assert response["Location"] == "/account/"


def test_nobody_signs_up_without_an_invitation(db, client):
    answers = {"email": "eve@example.org", "password1": "correct horse battery"}

    assert client.get("/accounts/signup/").status_code == 404
    assert client.post("/accounts/signup/", answers).status_code == 404
    assert not User.objects.exists()


def test_nobody_changes_their_address_behind_the_back_of_the_portal(bob, client_of):
    response = client_of(bob).post("/accounts/email/", {"email": "x@y.org", "action_add": ""})

    assert response.status_code == 404


def test_a_forgotten_password_is_set_anew_by_mail_and_ends_all_sessions(bob, client, client_of):
    elsewhere = client_of(bob)
    assert elsewhere.get("/account/").status_code == 200

    client.post("/accounts/password/reset/", {"email": bob.email})

    assert len(mail.outbox) == 1
    path = mail.outbox[0].body.split("://", 1)[1].split("/", 1)[1].split()[0]
    form = client.get(f"/{path}", follow=True)
    new = "another horse battery"
    client.post(form.request["PATH_INFO"], {"password1": new, "password2": new})
    bob.refresh_from_db()
    assert bob.check_password(new)
    assert elsewhere.get("/account/").status_code == 302


def test_a_person_changes_name_and_time_zone(bob, client_of):
    client = client_of(bob)

    data = {"name": " Bob  B. ", "time_zone": "Europe/Copenhagen", "theme": "device"}
    response = client.post("/account/", data)

    assert response.status_code == 302
    bob.refresh_from_db()
    assert (bob.name, bob.time_zone) == ("Bob B.", "Europe/Copenhagen")
    assert b"Europe/Copenhagen" in client.get("/account/").content


def test_a_person_chooses_a_theme_that_this_browser_keeps(bob, client_of):
    client = client_of(bob)
    data = {"name": "Bob", "time_zone": "UTC"}

    client.post("/account/", {**data, "theme": "dark"})
    page = client.get("/account/").content.decode()
    assert '<html lang="en" data-theme="dark">' in page
    assert 'value="dark"' in page
    client.post("/account/", {**data, "theme": "device"})
    assert "data-theme" not in client.get("/account/").content.decode()
    assert client.post("/account/", {**data, "theme": "pink"}).status_code == 422


def test_an_unknown_time_zone_is_refused(bob, client_of):
    response = client_of(bob).post("/account/", {"name": "Bob", "time_zone": "Moon/Base"})

    assert response.status_code == 422


def test_mail_is_kept_for_the_operator_when_there_is_no_server(db, client_of, settings):
    settings.EMAIL_BACKEND = "apps.accounts.mail.PageBackend"
    send_mail("First", "Hello <b>", None, ["x@example.org"])
    send_mail("Second", "Hello", None, ["y@example.org"])
    operator = make_user("Ada", is_operator=True)

    page = client_of(operator).get(reverse("accounts:mail")).content.decode()

    assert OutgoingMail.objects.count() == 2
    assert page.index("Second") < page.index("First")
    assert "Hello &lt;b&gt;" in page


def test_kept_mail_is_hidden_from_everybody_else(alice, client_of, client):
    assert client_of(alice).get("/account/mail/").status_code == 404
    assert client.get("/account/mail/").status_code == 302


@pytest.mark.parametrize(
    "page",
    ["login/", "password/reset/", "password/reset/done/", "password/reset/key/done/", "inactive/"],
)
def test_pages_before_sign_in_are_in_our_layout(db, client, page):
    response = client.get(f"/accounts/{page}")

    assert response.status_code == 200
    assert b'class="gate"' in response.content or b'class="public"' in response.content


@pytest.mark.parametrize("page", ["password/change/", "logout/", "reauthenticate/"])
def test_pages_of_the_account_are_in_our_layout(bob, client_of, page):
    response = client_of(bob).get(f"/accounts/{page}")

    assert response.status_code == 200
    assert b"css/tokens.css" in response.content


def test_changing_the_password_keeps_this_session_and_ends_others(bob, client_of, client):
    here, elsewhere = client_of(bob), client_of(bob)
    new = "another horse battery"

    answers = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    here.post("/accounts/password/change/", answers)

    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302


def test_no_mail_goes_to_addresses_without_an_account(db, client):
    response = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})

    assert response.status_code == 302
    assert mail.outbox == []


def test_signing_out_takes_a_button(bob, client_of):
    client = client_of(bob)

    client.get("/accounts/logout/")
    assert client.get("/account/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/account/").status_code == 302


def test_an_answer_does_not_wait_for_the_mail_server(bob, client, settings, monkeypatch):
    answered, sent = threading.Event(), threading.Event()

    def send(message):
        assert answered.wait(10)
        sent.set()
        raise ConnectionRefusedError

    settings.EMAIL_HOST = "mail.example.org"
    monkeypatch.setattr(EmailMessage, "send", send)

    response = client.post("/accounts/password/reset/", {"email": bob.email})
    answered.set()

    assert response.status_code == 302
    assert sent.wait(10)
