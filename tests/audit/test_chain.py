"""The chain of events, on a real PostgreSQL with real commits."""

import threading
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from apps.audit.models import AuditChain, AuditEvent
from apps.audit.verification import Finding, verify_all
from tests.audit.events import copy_of, record_one, sql, write

pytestmark = pytest.mark.django_db(transaction=True)


def findings(organization_id: int = 7) -> tuple[Finding, ...]:
    (verdict,) = verify_all(organization_id=organization_id)
    return verdict.findings


@pytest.fixture
def as_owner() -> Iterator[None]:
    """Act as the owner of the database, who can switch the guards off."""
    _guards("DISABLE")
    yield
    _guards("ENABLE")


def _guards(do: str) -> None:
    sql(f"ALTER TABLE audit_auditevent {do} TRIGGER audit_guard_event")
    sql(f"ALTER TABLE audit_auditchain {do} TRIGGER audit_guard_chain")


def test_events_of_an_organization_follow_each_other():
    first, other, second = write(7), write(8), write(7)

    assert (first.sequence, second.sequence, other.sequence) == (1, 2, 1)
    assert second.previous_hash == first.hash
    assert {one.organization_id: one.findings for one in verify_all()} == {7: (), 8: ()}


def test_events_of_no_organization_have_a_chain_of_their_own():
    write(None, times=2)

    (verdict,) = verify_all()

    assert (verdict.organization_id, verdict.chain.last_sequence) == (None, 2)
    assert verdict.findings == ()


def test_what_was_undone_leaves_no_gap():
    with transaction.atomic():
        record_one()
        transaction.set_rollback(True)

    assert write().sequence == 1
    assert findings() == ()


def test_writers_at_the_same_moment_make_one_chain():
    start = threading.Barrier(8)
    failures = []

    def run(number: int) -> None:
        try:
            start.wait(5)
            for each in range(10):
                with transaction.atomic():
                    record_one()
                    if (number + each) % 5 == 0:
                        transaction.set_rollback(True)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert AuditChain.objects.get(pk=7).last_sequence == 64
    assert findings() == ()


def test_a_writer_does_not_wait_for_a_transaction_that_goes_on():
    done = []

    def run() -> None:
        try:
            record_one()
            done.append(True)
        finally:
            connection.close()

    with transaction.atomic():
        record_one()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(20)
        assert done == [True]

    assert findings() == ()


@pytest.mark.usefixtures("as_owner")
class TestTampering:
    def test_a_changed_event_is_named(self):
        write(times=3)

        sql("UPDATE audit_auditevent SET actor_label = 'eve' WHERE sequence = 2")

        assert findings() == (Finding("changed", "Event 2 (deployment.updated) was changed."),)

    def test_a_changed_event_with_a_fresh_digest_is_named(self):
        write(times=3)

        sql("UPDATE audit_auditevent SET digest = repeat('a', 64) WHERE sequence = 1")

        assert [one.kind for one in findings()] == ["changed"]

    @pytest.mark.parametrize("sequence", [1, 2, 3])
    def test_an_event_replaced_with_all_its_hashes_is_named(self, sequence):
        write(times=3)
        write(8, times=sequence, target_label="forged")

        sql(
            "UPDATE audit_auditevent e SET target_label = f.target_label, digest = f.digest,"
            " previous_hash = f.previous_hash, hash = f.hash, at = f.at"
            " FROM audit_auditevent f WHERE f.organization_id = 8 AND f.sequence = e.sequence"
            " AND e.organization_id = 7 AND e.sequence = %s",
            sequence,
        )

        assert f"Event {sequence} was replaced by another." in [one.message for one in findings()]

    def test_removed_events_are_named(self):
        write(times=6)

        sql("DELETE FROM audit_auditevent WHERE sequence IN (1, 3, 4)")

        assert [one.message for one in findings()] == [
            "Event 1 was removed.",
            "Events 3 to 4 were removed.",
        ]

    def test_a_removed_end_is_named(self):
        write(times=3)

        sql("DELETE FROM audit_auditevent WHERE sequence = 3")

        assert [one.message for one in findings()] == ["Event 3 was removed."]

    def test_nothing_left_is_named(self):
        write(times=3)

        sql("DELETE FROM audit_auditevent")

        assert [one.message for one in findings()] == ["Events 1 to 3 were removed."]

    def test_inserted_events_are_named(self):
        write(times=2)
        copy = AuditEvent.objects.get(sequence=2)
        sql("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_link_event")

        for sequence in (None, 3, -1):
            copy_of(copy, sequence)
        sql("ALTER TABLE audit_auditevent ENABLE TRIGGER audit_link_event")

        assert [one.kind for one in findings()] == ["inserted"] * 3
        assert "Event without a number" in findings()[0].message

    def test_a_chain_whose_row_was_taken_away_is_not_whole(self):
        write(times=2)

        sql("DELETE FROM audit_auditchain")

        assert [one.kind for one in findings()] == ["inserted", "inserted"]

    def test_the_command_names_organization_and_event(self):
        write(times=2)
        write(8)
        sql("UPDATE audit_auditevent SET changes = '{}' WHERE organization_id = 7 AND sequence = 1")
        said = StringIO()

        with pytest.raises(CommandError, match="tampered with"):
            call_command("verify_audit", stdout=said)

        assert "Organization 7: events 1 to 2 read." in said.getvalue()
        assert "changed: Event 1 (deployment.updated) was changed." in said.getvalue()


def test_the_command_says_when_all_is_whole(bob):
    said = StringIO()

    call_command("verify_audit", stdout=said)

    assert "events 1 to 2 read." in said.getvalue()
    assert "The audit log is unchanged." in said.getvalue()


def test_the_command_knows_no_such_organization():
    with pytest.raises(CommandError, match="Organization 99 has no audit events"):
        call_command("verify_audit", organization=99)
