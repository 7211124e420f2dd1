from datetime import timedelta

import pytest
from django.utils import timezone

from apps.organizations.cleanup import clean_up
from apps.organizations.invitations.services import invite
from apps.organizations.models import Invitation
from apps.organizations.tasks import sweep_expired

LONG_AGO = timedelta(days=31)


@pytest.fixture
def invitation(alice, organization):
    invite(actor=alice, organization=organization, email="dora@example.org")
    return Invitation.objects.get()


def test_an_invitation_goes_thirty_days_after_it_has_expired(invitation):
    now = timezone.now()

    assert clean_up(now=now + timedelta(days=36)) == 0
    assert clean_up(now=now + timedelta(days=38)) == 1


@pytest.mark.parametrize("end", ["accepted_at", "revoked_at"])
def test_an_invitation_goes_thirty_days_after_it_was_answered(invitation, end):
    Invitation.objects.update(**{end: timezone.now()})

    assert clean_up(now=timezone.now() + timedelta(days=29)) == 0
    assert clean_up(now=timezone.now() + LONG_AGO) == 1


def test_the_job_does_the_work(invitation):
    Invitation.objects.update(accepted_at=timezone.now() - LONG_AGO)

    sweep_expired(of_a_newer_portal=True)

    assert not Invitation.objects.exists()
