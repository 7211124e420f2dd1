from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.accounts.cleanup import clean_up
from apps.accounts.models import OutgoingMail, SignInLink
from apps.accounts.services import issue_sign_in_link, use_sign_in_link
from apps.accounts.tasks import sweep_links_and_mail
from tests.conftest import PASSWORD

DAYS_29, DAYS_31, DAYS_32 = (timedelta(days=days) for days in (29, 31, 32))


def test_kept_mail_goes_after_thirty_days(db):
    OutgoingMail.objects.create(to="bob@example.org", subject="A link", body="…")

    assert clean_up(now=timezone.now() + DAYS_29) == 0
    assert clean_up(now=timezone.now() + DAYS_31) == 1


def test_a_link_goes_thirty_days_after_it_was_used_or_has_expired(bob):
    issue_sign_in_link(user=None)
    use_sign_in_link(token=issue_sign_in_link(user=bob))

    assert clean_up(now=timezone.now() + DAYS_29) == 0
    assert clean_up(now=timezone.now() + timedelta(days=30, hours=1)) == 1
    assert SignInLink.objects.get().user is None
    assert clean_up(now=timezone.now() + DAYS_32) == 1


def test_a_session_goes_when_it_has_ended(bob, client_of):
    client_of(bob)

    assert clean_up(now=timezone.now() + timedelta(days=13)) == 0
    assert clean_up(now=timezone.now() + timedelta(days=15)) == 1
    assert not Session.objects.exists()


def test_the_row_of_a_session_that_is_gone_goes_too(bob, client_of):
    client = client_of(bob)
    client.get("/account/")
    assert clean_up(now=timezone.now()) == 0

    client.session.flush()

    assert clean_up(now=timezone.now()) == 1
    assert not UserSession.objects.exists()


def test_the_job_does_the_work(db):
    OutgoingMail.objects.create(
        to="bob@example.org", subject="", body="", created_at=timezone.now() - DAYS_31
    )

    sweep_links_and_mail(of_a_newer_portal=True)

    assert not OutgoingMail.objects.exists()


def test_many_ended_sessions_go_in_batches(db, monkeypatch):
    monkeypatch.setattr("apps.accounts.cleanup.BATCH", 2)
    ended = timezone.now() - timedelta(seconds=1)
    for number in range(5):
        Session.objects.create(session_key=f"k{number}", session_data="", expire_date=ended)

    assert clean_up(now=timezone.now()) == 5


def test_sessions_are_cleared_every_hour(settings):
    job = settings.CELERY_BEAT_SCHEDULE["sweep-links-and-mail"]

    assert job["schedule"] <= timedelta(hours=1)


def test_what_a_visitor_leaves_ends_within_an_hour_and_a_sign_in_lasts(bob, client_of, client):
    # Signing out leaves a message for the next page.
    client_of(bob).post("/accounts/logout/")

    left = Session.objects.get().expire_date - timezone.now()
    assert left <= timedelta(hours=1)

    client.post("/accounts/login/", {"login": bob.email, "password": PASSWORD})

    left = Session.objects.latest("expire_date").expire_date - timezone.now()
    assert left > timedelta(days=13)
