"""Counts what ended into days of objectives. Everything may be repeated: a day is counted anew.

Results are kept for days, a budget is about weeks. A day is counted again as long as all of its
results are there. Time in which a Deployment hibernated is none that a run took, and a run that
failed after its Deployment fell asleep during it counts neither way.
"""

from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection

from apps.objectives.budget import DAYS
from apps.objectives.models import ObjectiveDay

# What ended in an Airflow that was away for some time is counted late.
AGAIN = timedelta(days=2)
MOST_FORGOTTEN = 50_000
_COUNT = """
    INSERT INTO objectives_objectiveday (objective_id, day, good, bad)
    SELECT objective.id, (result.ended_at AT TIME ZONE 'UTC')::date,
        count(*) FILTER (WHERE is_good.yes),
        count(*) FILTER (WHERE NOT is_good.yes AND NOT (result.is_failed AND slept.seconds > 0))
    FROM objectives_objective objective
    JOIN observability_runresult result ON result.deployment_id = objective.deployment_id
        AND result.dag_id = objective.dag_id AND result.task_id = ''
    CROSS JOIN LATERAL (SELECT coalesce(sum(extract(epoch FROM
            least(sleep.ended_at, result.ended_at) - greatest(sleep.began_at, result.started_at)
        )), 0) AS seconds
        FROM hibernation_sleep sleep
        WHERE sleep.deployment_id = result.deployment_id AND sleep.began_at < result.ended_at
            AND result.started_at < coalesce(sleep.ended_at, result.ended_at)
    ) slept
    CROSS JOIN LATERAL (SELECT NOT result.is_failed AND (
        objective.limit_seconds IS NULL OR result.started_at IS NULL
        OR extract(epoch FROM result.ended_at - result.started_at) - slept.seconds
            <= objective.limit_seconds
    ) AS yes) is_good
    WHERE result.ended_at >= %(first)s AND (%(only)s::bigint IS NULL OR objective.id = %(only)s)
    GROUP BY 1, 2
    ON CONFLICT (objective_id, day) DO UPDATE SET good = excluded.good, bad = excluded.bad
"""


def count_runs(*, now: datetime) -> None:
    """Count the last days of all objectives, in one statement."""
    _count(_today(now) - AGAIN)


def count_all_kept(*, objective_id: int, now: datetime) -> None:
    """Count the days of one objective of which all results are kept."""
    kept = now - timedelta(days=settings.RESULT_DAYS)
    _count(_today(kept) + timedelta(days=1), only=objective_id)


def forget_days(*, now: datetime) -> int:
    """Delete days that no budget is about any more; return how many, at most `MOST_FORGOTTEN`."""
    old = ObjectiveDay.objects.filter(day__lt=first_day(now)).order_by("day")
    ids = list(old.values_list("pk", flat=True)[:MOST_FORGOTTEN])
    return ObjectiveDay.objects.filter(pk__in=ids).delete()[0]


def first_day(now: datetime) -> date:
    """Return the first day that a budget is about; today is the last one."""
    return _today(now) - timedelta(days=DAYS - 1)


def _today(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _count(first: date, *, only: int | None = None) -> None:
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"first": begin, "only": only})
