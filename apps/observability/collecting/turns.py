"""Whose turn it is: due rows are taken by one collector, and put back with what came of it.

A taken row is not due again before its lease ends, and what a dead collector took is taken again a
minute later. Two collectors share the clusters between them: whichever first finds a turn due there
holds the cluster as long as its connection to the database lasts, so that a cluster never has more
than the slots of one collector.
"""

from collections.abc import Collection as Several
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from apps.deployments.models import Health, Phase

EVERY_SECONDS, LEASE_SECONDS, LONGEST_WAIT_SECONDS = 30, 60, 300
_WELL = f"""
    deployment.phase = '{Phase.ACTIVE}' AND deployment.applied_id IS NOT NULL
    AND deployment.health <> '{Health.STOPPED}'
"""  # noqa: S608 - constants
# The first turn of each comes at a random moment, so that they are spread over the 30 seconds.
_ADD = f"""
    INSERT INTO observability_collection (deployment_id, next_at, failures, last_error)
    SELECT deployment.id, statement_timestamp() + random() * %s * interval '1 second', 0, ''
    FROM deployments_deployment deployment
    WHERE {_WELL} AND NOT EXISTS (
        SELECT 1 FROM observability_collection known WHERE known.deployment_id = deployment.id
    )
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_TAKE = f"""
    WITH chosen AS (
        SELECT due.deployment_id, due.next_at FROM observability_collection due
        JOIN deployments_deployment deployment ON deployment.id = due.deployment_id
        JOIN clusters_cluster cluster ON cluster.id = deployment.cluster_id
        WHERE NOT due.next_at BETWEEN statement_timestamp()
                AND statement_timestamp() + {LONGEST_WAIT_SECONDS} * interval '1 second'
            AND {_WELL}
            AND cluster.blind_until IS NULL AND NOT cluster.id = ANY(%s)
            AND pg_try_advisory_lock(hashtext('portal.collecting'), cluster.id::integer)
        ORDER BY due.next_at LIMIT %s FOR UPDATE OF due SKIP LOCKED
    )
    UPDATE observability_collection turn
    SET next_at = statement_timestamp() + %s * interval '1 second'
    FROM chosen
    WHERE turn.deployment_id = chosen.deployment_id
    RETURNING turn.deployment_id, turn.counted_until, turn.list_from, statement_timestamp(),
        chosen.next_at
"""  # noqa: S608 - constants
# The next turn keeps to the rhythm of the last one, by the clock of the database alone. Whoever
# failed waits longer each time.
_DONE = """
    UPDATE observability_collection turn
    SET next_at = CASE WHEN outcome.is_answered
            THEN greatest(outcome.due_at + %s * interval '1 second', statement_timestamp())
            ELSE statement_timestamp()
                + least(%s * 2 ^ least(turn.failures, 6), %s) * interval '1 second' END,
        answered_at = CASE WHEN outcome.is_answered THEN statement_timestamp()
            ELSE turn.answered_at END,
        failures = CASE WHEN outcome.is_answered THEN 0 ELSE turn.failures + 1 END,
        last_error = outcome.problem,
        counted_until = greatest(turn.counted_until, outcome.counted)
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::boolean[], %s::text[], %s::timestamptz[])
        AS outcome (id, due_at, is_answered, problem, counted)
    WHERE turn.deployment_id = outcome.id
"""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A Deployment that is asked now. `due_at` is when it was due: on time, or now."""

    deployment_id: int
    counted_until: datetime | None
    due_at: datetime
    list_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a turn. `counted_until` is None where nothing was counted."""

    deployment_id: int
    due_at: datetime
    is_answered: bool
    problem: str
    counted_until: datetime | None


def add_missing() -> int:
    """Give every Deployment that runs a turn; return how many are new."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [EVERY_SECONDS])
        return int(cursor.rowcount)


def take_due(*, most: int, without: Several[int] = ()) -> list[Turn]:
    """Take the turns that are due, at most `most`, of no cluster of `without`, and of none that
    another collector holds.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [list(without), most, LEASE_SECONDS])
        rows = cursor.fetchall()
    return [_turn(*row) for row in rows]


def _turn(
    pk: int,
    counted_until: datetime | None,
    list_from: datetime | None,
    now: datetime,
    planned: datetime,
) -> Turn:
    # Samples keep to the plan, so that each falls into a slot of its own.
    is_on_time = timedelta(0) <= now - planned < timedelta(seconds=EVERY_SECONDS)
    due_at = planned if is_on_time else now
    return Turn(deployment_id=pk, counted_until=counted_until, list_from=list_from, due_at=due_at)


def put_back(outcomes: Sequence[Outcome]) -> None:
    """Record what came of some turns, and when the next ones are, by one statement."""
    if not outcomes:
        return
    rows = [
        (o.deployment_id, o.due_at, o.is_answered, o.problem, o.counted_until) for o in outcomes
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_DONE, [EVERY_SECONDS, EVERY_SECONDS, LONGEST_WAIT_SECONDS, *columns])
