"""What is to be told about an alert, and when to look again. Pure.

    opened ─▶ updated (news, ever less often) ─▶ repeated (if asked) ─▶ resolved
         └─▶ escalated, unless a person acknowledged it

The first message leaves at once. What comes then is gathered: 5 minutes, 10, 20 and so on, up to 6
hours. While a silence holds nothing is told; what is still wrong at its end is told then.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from apps.alerts.evaluation.changes import MOMENT, SILENT
from apps.alerts.evaluation.models import Alert

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=6)


class Event(StrEnum):
    """What a message is: the word for machines."""

    OPENED = "opened"
    UPDATED = "updated"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    TEST = "test"


def next_notice(alert: Alert, *, silent_until: datetime | None, now: datetime) -> Event | None:
    """Return what is to be told now, and write on the alert when to look again.

    `silent_until` is the end of the silences that hold now, None without one.
    """
    event = _due(alert, silent_until is not None, now)
    if event is not None:
        _note(alert, event, now)
    alert.next_at = _look_again(alert, silent_until, now)
    return event


def _due(alert: Alert, is_silent: bool, now: datetime) -> Event | None:
    if alert.told_at is None:
        return None if is_silent else Event.OPENED
    if alert.closed_at is not None:
        return None if alert.rule.about.is_moment else Event.RESOLVED
    if is_silent:
        return None
    if alert.untold and now >= alert.told_at + wait_after(alert.told):
        return Event.UPDATED
    if _is_due(_escalation_at(alert), now):
        return Event.ESCALATED
    if _is_due(_repeat_at(alert), now):
        return Event.REPEATED
    return None


def _note(alert: Alert, event: Event, now: datetime) -> None:
    if event == Event.ESCALATED:
        alert.escalated_at = now
        return
    alert.told += 1
    alert.told_at = now
    alert.untold = 0
    alert.first_told_at = alert.first_told_at or now


def _look_again(alert: Alert, silent_until: datetime | None, now: datetime) -> datetime | None:
    if alert.closed_at is not None:
        # Opened and closed at once: that it is over is the next message.
        is_over = alert.told_at is None or alert.told_at >= alert.closed_at and alert.told > 1
        return None if is_over or alert.rule.about.is_moment else now
    times: list[datetime | None] = [_expiry_at(alert)]
    if silent_until is not None:
        times.append(silent_until)
    elif alert.told_at is not None:
        times += [_escalation_at(alert), _repeat_at(alert)]
        times.append(alert.told_at + wait_after(alert.told) if alert.untold else None)
    return min(at for at in times if at is not None)


def wait_after(told: int) -> timedelta:
    """Return how long news is gathered after a number of messages."""
    doublings = min(max(told, 1) - 1, 10)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def _escalation_at(alert: Alert) -> datetime | None:
    rule = alert.rule
    is_asked = rule.escalate_minutes and rule.escalate_to_id
    if not is_asked or alert.escalated_at or alert.acknowledged_at or not alert.first_told_at:
        return None
    return alert.first_told_at + timedelta(minutes=rule.escalate_minutes)


def _repeat_at(alert: Alert) -> datetime | None:
    is_asked = alert.rule.repeat_minutes and not alert.rule.about.is_moment
    if not is_asked or alert.acknowledged_at or alert.told_at is None:
        return None
    return alert.told_at + timedelta(minutes=alert.rule.repeat_minutes)


def _expiry_at(alert: Alert) -> datetime:
    if alert.rule.about.is_moment:
        return alert.opened_at + MOMENT
    return max(alert.last_at, alert.opened_at) + SILENT


def _is_due(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now
