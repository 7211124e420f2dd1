"""What happens to an alert: it begins, gathers what belongs to it, and ends. Pure.

Ten thousand failures are one alert: it names a hundred of their subjects and counts the rest.
"""

import hashlib
from datetime import datetime, timedelta

from apps.alerts.evaluation.models import Alert, epoch
from apps.alerts.rules.models import Rule
from apps.observability.incidents.models import Incident

MOST_SUBJECTS = 100
# Runs of a subject that are known again: as many as a DAG has at once, and more.
MOST_RUNS = 50
# A moment, such as a success, is gathered with those that follow it within this time.
MOMENT = timedelta(minutes=5)
# An alert of which nothing is heard any more: its DAG was renamed or removed.
SILENT = timedelta(days=7)
NOT_HEARD = "Nothing was heard of it for 7 days. Its DAGs may have been renamed or removed."


def begin(
    *, rule: Rule, deployment_id: int, group: str, happened_at: datetime, now: datetime
) -> Alert:
    """Return a new alert, not saved, about what happened at a time."""
    return Alert(
        rule=rule,
        deployment_id=deployment_id,
        group=group,
        happened_at=happened_at,
        opened_at=now,
        last_at=happened_at,
    )


def gather(
    alert: Alert,
    *,
    dag_id: str,
    task_id: str,
    run_id: str,
    at: datetime,
    now: datetime,
    note: str = "",
) -> bool:
    """Add something that happened; return whether it is news: of a run once, however it is heard
    of. `note` is what people should know of it besides.
    """
    name, run = f"{dag_id}.{task_id}" if task_id else dag_id, _short(run_id)
    known = alert.subjects.get(name)
    if known is not None and run in known["runs"]:
        return False
    if known is not None:
        known.update(
            run=run_id, count=known["count"] + 1, at=max(known["at"], epoch(at)), note=note
        )
        known["runs"] = [*known["runs"], run][-MOST_RUNS:]
    elif len(alert.subjects) < MOST_SUBJECTS:
        new = {"dag": dag_id, "task": task_id, "run": run_id, "count": 1, "at": epoch(at)}
        alert.subjects[name] = {**new, "runs": [run], "note": note}
    else:
        alert.more += 1
    alert.happened_at = min(alert.happened_at, at)
    alert.last_at = max(alert.last_at, at)
    alert.count += 1
    alert.untold += 1
    alert.next_at = min(alert.next_at or now, now)
    return True


def clear(
    alert: Alert, *, dag_id: str, run_id: str, at: datetime, now: datetime, is_same_run_good: bool
) -> bool:
    """Take a DAG out that is well again; return whether that changed something. The last one closes
    the alert.
    """
    gone = [
        name
        for name, one in alert.subjects.items()
        if one["dag"] == dag_id
        and one["at"] <= epoch(at)
        and (is_same_run_good or _short(run_id) not in one["runs"])
    ]
    if not gone:
        return False
    if len(gone) < len(alert.subjects):
        for name in gone:
            del alert.subjects[name]
        return True
    # They stay in the row: the message says what is well again.
    close(alert, reason=_reason(alert, dag_id), now=now)
    return True


def _short(run_id: str) -> str:
    return hashlib.blake2b(run_id.encode(), digest_size=6).hexdigest()


def _reason(alert: Alert, dag_id: str) -> str:
    if alert.more:
        return f"{dag_id} is well again, the last one of those that are listed."
    return f"{dag_id} is well again."[:200]


def close(alert: Alert, *, reason: str, now: datetime) -> None:
    """End an alert."""
    alert.closed_at = max(now, alert.opened_at)
    alert.close_reason = reason[:200]
    alert.next_at = now


def follow(alert: Alert, incident: Incident, now: datetime) -> bool:
    """Let an alert follow its incident; return whether that changed something. Who silences the
    incident has seen it, too.
    """
    if incident.closed_at is not None:
        close(alert, reason="The incident closed.", now=now)
        return True
    seen_at = incident.acknowledged_at or incident.silenced_at
    if seen_at is None or alert.acknowledged_at is not None:
        return False
    alert.acknowledged_at = seen_at
    alert.acknowledged_by_id = incident.acknowledged_by_id or incident.silenced_by_id
    return True


def expire(alert: Alert, now: datetime) -> bool:
    """Close an alert that is a moment, or of which nothing is heard; return whether it was."""
    if alert.incident_id is not None or alert.closed_at is not None:
        return False
    if alert.rule.about.is_moment and now - alert.opened_at >= MOMENT:
        close(alert, reason="", now=now)
        return True
    if now - max(alert.last_at, alert.opened_at) >= SILENT:
        close(alert, reason=NOT_HEARD, now=now)
        return True
    return False
