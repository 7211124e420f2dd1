"""A cut of a chain that retention does not explain is refused by the database, or reported."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.utils import IntegrityError
from django.utils import timezone

from apps.audit.digests import digest_of
from apps.audit.models import AuditChain, AuditEvent
from apps.audit.retention import forget_expired
from apps.audit.verification import verify_all
from tests.audit.events import record_one, sql, write
from tests.audit.test_retention import write_at

pytestmark = pytest.mark.django_db(transaction=True)
MOVE = (
    "UPDATE audit_auditchain SET forgotten_sequence = 2, forgotten_hash ="
    " (SELECT hash FROM audit_auditevent WHERE sequence = 2)"
)
DELETE = "DELETE FROM audit_auditevent WHERE sequence <= 2"


def kinds() -> list[str]:
    return [one.kind for verdict in verify_all() for one in verdict.findings]


def lie_about(sequence: int, *, days: int) -> None:
    """Write, as anybody with the portal's own database user can, what retention would have."""
    cut = AuditEvent.objects.get(sequence=sequence)
    with transaction.atomic():
        record_one(
            action="audit.events_deleted",
            changes={"up_to": sequence, "hash": cut.hash, "retention_days": days},
        )
        sql(f"{MOVE.replace('2', str(sequence))}, retention_days = %s", days)


def test_moving_the_cut_and_deleting_what_lies_before_it_does_not_stay_unseen():
    write(times=3)

    with pytest.raises(IntegrityError, match="refused"):
        sql(MOVE)
    with pytest.raises(IntegrityError, match="refused"):
        sql(DELETE)

    assert AuditEvent.objects.count() == 3
    assert kinds() == []


def test_a_cut_that_was_moved_with_the_guards_off_is_reported():
    write(times=3)
    sql("ALTER TABLE audit_auditchain DISABLE TRIGGER audit_guard_chain")
    sql("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_guard_event")
    sql(MOVE)
    sql(DELETE)
    sql("ALTER TABLE audit_auditchain ENABLE TRIGGER audit_guard_chain")
    sql("ALTER TABLE audit_auditevent ENABLE TRIGGER audit_guard_event")

    assert kinds() == ["unexplained"]


def test_an_explanation_deletes_nothing_that_is_younger_than_it_says():
    write(times=3)
    lie_about(2, days=1)

    with pytest.raises(IntegrityError, match="DELETE refused"), transaction.atomic():
        sql(DELETE)


@pytest.mark.parametrize("days", [0, -1])
def test_a_retention_of_no_time_is_refused(days: int):
    write(times=3)

    with pytest.raises(IntegrityError, match="refused"):
        lie_about(2, days=days)


@pytest.mark.parametrize("configured", [0, 365])
def test_a_cut_shorter_than_the_configured_retention_is_reported(settings, configured: int):
    settings.AUDIT_RETENTION_DAYS = configured
    for _ in range(3):
        write_at(timezone.now() - timedelta(days=50))
    lie_about(2, days=30)
    sql(DELETE)

    assert kinds() == ["unexplained"]


def test_a_later_cut_does_not_cover_up_an_earlier_one(settings):
    settings.AUDIT_RETENTION_DAYS = 365
    for days in (400, 400, 370, 1):
        write_at(timezone.now() - timedelta(days=days))
    lie_about(2, days=30)
    sql(DELETE)

    assert forget_expired(now=timezone.now()) == 1

    assert AuditChain.objects.get().forgotten_sequence == 3
    assert kinds() == ["unexplained"]


def test_an_explanation_cannot_be_dated_back_to_be_deleted_by_the_next_one(settings):
    """Evidence of two days ago went by a lie of one day; the lie, as an old event, by the next."""
    settings.AUDIT_RETENTION_DAYS = 365
    for _ in range(2):
        write_at(timezone.now() - timedelta(days=2))
    cut = AuditEvent.objects.get(sequence=2)
    lie = AuditEvent(
        organization_id=7,
        at=timezone.now() - timedelta(days=400),
        action="audit.events_deleted",
        target_kind="audit log",
        target_id="7",
        changes={"up_to": 2, "hash": cut.hash, "retention_days": 1},
    )
    lie.digest = digest_of(lie)

    with pytest.raises(IntegrityError, match="INSERT refused"), transaction.atomic():
        lie.save()

    lie_about(2, days=1)
    sql(DELETE)
    lie_about(3, days=365)
    with pytest.raises(IntegrityError, match="DELETE refused"), transaction.atomic():
        sql("DELETE FROM audit_auditevent WHERE sequence = 3")
    assert "inserted" in kinds()
