"""Whether a silence holds for something, and until when. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from apps.alerts.evaluation.deadlines import deadlines_between
from apps.alerts.evaluation.judging import Where
from apps.alerts.rules.matching import matches
from apps.alerts.silences.models import Silence


def silent_until(
    silences: Iterable[Silence], *, where: Where, dags: Iterable[str], now: datetime
) -> datetime | None:
    """Return until when what an alert is about is silent, None if it is not. `dags` are all that it
    is about: one of them that no silence covers is told.
    """
    here = [one for one in silences if _is_about(one, where)]
    ends = []
    for dag in list(dags) or [""]:
        of_dag = [end_of(one, now) for one in here if matches(one.dags, dag)]
        known = [end for end in of_dag if end is not None]
        if not known:
            return None
        ends.append(max(known))
    return min(ends)


def _is_about(silence: Silence, where: Where) -> bool:
    if silence.organization_id != where.organization_id:
        return False
    if silence.workspace_id is not None and silence.workspace_id != where.workspace_id:
        return False
    return silence.deployment_id is None or silence.deployment_id == where.pk


def end_of(silence: Silence, now: datetime) -> datetime | None:
    """Return when a silence that holds now ends, None if it does not hold."""
    if silence.ended_at is not None or now < silence.begins_at:
        return None
    if not silence.weekdays:
        return silence.ends_at if now < silence.ends_at else None
    lasts = silence.ends_at - silence.begins_at
    begins = silence.begins_at.astimezone(ZoneInfo(silence.zone))
    starts = deadlines_between(
        due_at=begins.time(),
        zone=silence.zone,
        weekdays=silence.weekdays,
        after=now - lasts - timedelta(seconds=1),
        until=now,
    )
    ends = [start + lasts for start in starts if start + lasts > now]
    return max(ends, default=None)
