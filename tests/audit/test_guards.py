"""What the database itself refuses, and what it keeps."""

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.digests import digest_of
from apps.audit.models import AuditEvent
from tests.audit.events import copy_of, record_one, sql, tie_at_once, write
from tests.conftest import make_user


@pytest.fixture(autouse=True)
def _tied(db: None) -> None:
    tie_at_once()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET action = 'x'",
        "UPDATE audit_auditevent SET sequence = 9",
        "UPDATE audit_auditevent SET actor_id = NULL, hash = hash",
        "DELETE FROM audit_auditevent",
        "DELETE FROM audit_auditchain",
        "UPDATE audit_auditchain SET last_sequence = 0",
        "UPDATE audit_auditchain SET last_hash = 'x'",
        "UPDATE audit_auditchain SET forgotten_sequence = 5",
        "UPDATE audit_auditchain SET organization_id = 9",
    ],
)
def test_the_database_refuses_to_change_what_was_written(statement):
    write(times=2)

    with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
        sql(statement)


@pytest.mark.parametrize("table", ["audit_auditevent", "audit_auditchain"])
def test_the_database_refuses_to_empty_the_tables(table):
    write()

    # The tests themselves empty tables, and have this one guard off.
    sql(f"ALTER TABLE {table} ENABLE TRIGGER audit_refuse_truncate")

    with pytest.raises(IntegrityError, match="TRUNCATE refused"), transaction.atomic():
        sql(f"TRUNCATE {table}")


def test_the_database_refuses_an_event_that_numbers_itself():
    event = write()

    with pytest.raises(IntegrityError, match="INSERT refused"), transaction.atomic():
        copy_of(event, 5)


def test_an_event_outlives_who_did_it():
    dora = make_user("Dora")
    number = write(actor=dora).pk
    dora_id = dora.pk
    dora.delete()

    event = AuditEvent.objects.get(pk=number)

    assert (event.actor_id, event.actor_label) == (dora_id, "dora@example.org")
    assert digest_of(event) == event.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"a": [1.5, 1e30], "é": ["\ud7ff", '𝄞 \\ " \n'], "b": (None, True, 10**25)},
        {"when": [timezone.now(), {"deep": {"deeper": [1, "1", [], {}]}}]},
        {"": ["", 0], "z": -0.0, "A": float("nan")},
    ],
)
def test_odd_values_come_back_as_they_were_written(changes):
    event = write(changes=changes, target_label="x" * 300)

    assert digest_of(event) == event.digest


def test_an_event_costs_one_query():
    write()

    with CaptureQueriesContext(connection) as queries:
        record_one()

    assert len(queries) == 1
