from typing import Any

from django.db import connection

from apps.audit.models import AuditEvent
from apps.audit.services import record


def record_one(organization_id: int | None = 7, **overrides: Any) -> AuditEvent:
    fields = {
        "action": "deployment.updated",
        "actor": None,
        "organization_id": organization_id,
        "target_kind": "deployment",
        "target_id": 1,
        "target_label": "etl",
        "changes": {"name": ["a", "b"]},
    }
    return record(**{**fields, **overrides})


def write(organization_id: int | None = 7, *, times: int = 1, **overrides: Any) -> AuditEvent:
    """Record events that commit at once, and return the last as the database has it."""
    for _ in range(times):
        event = record_one(organization_id, **overrides)
    event.refresh_from_db()
    return event


def copy_of(event: AuditEvent, sequence: int | None) -> None:
    event.pk, event.sequence = None, sequence
    event.save(force_insert=True)


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def tie_at_once() -> None:
    """Tie events as they are written: a test that commits nothing would leave them untied."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")
