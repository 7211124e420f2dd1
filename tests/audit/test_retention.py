from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.audit.digests import digest_of
from apps.audit.models import AuditChain, AuditEvent
from apps.audit.retention import forget_expired
from apps.audit.tasks import sweep_events
from apps.audit.verification import verify_all
from tests.audit.events import write

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _thirty_days(settings):
    settings.AUDIT_RETENTION_DAYS = 30


def write_at(at: datetime, organization_id: int | None = 7) -> None:
    event = AuditEvent(
        organization_id=organization_id, at=at, action="x", target_kind="x", target_id="1"
    )
    event.digest = digest_of(event)
    event.save()


def sequences() -> list[int | None]:
    return list(AuditEvent.objects.order_by("pk").values_list("sequence", flat=True))


def test_it_is_off_unless_it_is_set(settings):
    settings.AUDIT_RETENTION_DAYS = 0
    write()

    assert forget_expired(now=NOW + timedelta(days=9999)) == 0


def test_the_beginning_is_cut_and_the_rest_verifies(monkeypatch):
    monkeypatch.setattr("apps.audit.retention.BATCH", 2)
    for days in (50, 40, 31, 29, 1):
        write_at(NOW - timedelta(days=days))

    assert forget_expired(now=NOW) == 3
    assert forget_expired(now=NOW) == 0

    write()
    assert sequences() == [4, 5, 6, 7, 8]  # two batches, each explained by an event
    cuts = AuditEvent.objects.filter(action="audit.events_deleted").order_by("sequence")
    assert [one.changes["up_to"] for one in cuts] == [2, 3]
    assert {one.changes["retention_days"] for one in cuts} == {30}
    assert AuditChain.objects.get(pk=7).forgotten_at == NOW
    assert verify_all()[0].findings == ()


def test_a_chain_may_lose_all_and_goes_on():
    for _ in range(3):
        write_at(NOW - timedelta(days=31), None)

    said = StringIO()

    assert forget_expired(now=NOW) == 3
    call_command("verify_audit", stdout=said)
    assert "Events without an organization: events 4 to 4 read." in said.getvalue()
    assert "Retention deleted events up to 3, last on" in said.getvalue()

    write(None)
    assert sequences() == [4, 5]
    assert verify_all()[0].findings == ()


def test_an_old_event_behind_a_younger_one_stays():
    for days in (40, 10, 40):
        write_at(NOW - timedelta(days=days))

    assert forget_expired(now=NOW) == 1
    assert sequences() == [2, 3, 4]


def test_the_daily_job_bears_arguments_of_a_newer_portal():
    write_at(NOW - timedelta(days=31))
    write_at(NOW)

    sweep_events(newer="argument")

    assert sequences() == [2, 3]


def test_explanations_alone_are_not_replaced_for_ever():
    write_at(NOW - timedelta(days=31))
    forget_expired(now=NOW)

    assert forget_expired(now=NOW + timedelta(days=31)) == 0
