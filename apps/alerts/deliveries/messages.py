"""Messages in words: one shape for all channels, composed of an alert. Pure.

Names of DAGs, tasks and runs come from an Airflow that runs user code. They are cut here, and each
channel escapes them in its own way (`channels.payloads`).
"""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from apps.alerts.evaluation.judging import Where
from apps.alerts.evaluation.models import Alert
from apps.alerts.evaluation.notices import Event
from apps.alerts.rules.kinds import RuleKind
from apps.alerts.rules.models import Rule
from apps.core.words import duration_in_words
from apps.observability.incidents.kinds import Severity

MOST_LINES, LONGEST_TITLE, LONGEST_LINE = 10, 200, 300
# Later than this, a message says how late it is.
LATE_SECONDS = 180


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is told. `key` is the same for all messages of an alert; `number` counts them."""

    event: str
    severity: str
    title: str
    lines: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    url: str
    key: str
    number: int
    rule: str
    deployment: str
    workspace: str
    happened_at: str
    count: int = 1
    organization: str = field(default="")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Message":
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["lines"] = tuple(known.get("lines", ()))
        known["facts"] = tuple((str(label), str(value)) for label, value in known["facts"])
        return cls(**known)

    @property
    def is_over(self) -> bool:
        return self.event == Event.RESOLVED

    @property
    def is_urgent(self) -> bool:
        return not self.is_over and self.severity == "critical"


def compose(
    alert: Alert, *, event: Event, where: Where, url: str, key: str, now: datetime
) -> Message:
    """Write the message of an event of an alert. `url` is its page, `key` names it for receivers
    that keep alerts of their own.
    """
    rule = alert.rule
    return Message(
        event=event,
        severity=Severity(rule.severity).label.lower(),
        title=_title(alert, event, where)[:LONGEST_TITLE],
        lines=tuple(_lines(alert, event)),
        facts=tuple(_facts(alert, event, where, now)),
        url=url,
        key=key,
        number=alert.told,
        rule=rule.name,
        deployment=where.name,
        workspace=where.workspace,
        happened_at=alert.happened_at.astimezone(UTC).isoformat(timespec="seconds"),
        count=alert.count,
    )


def _title(alert: Alert, event: Event, where: Where) -> str:
    what = f"{_what(alert)} in {where.name}"
    if event == Event.RESOLVED:
        return f"Resolved: {what}"
    if event == Event.ESCALATED:
        return f"Not acknowledged: {what}"
    if event == Event.REPEATED:
        return f"Still: {what}"
    return what


def _what(alert: Alert) -> str:
    rule, count = alert.rule, len(alert.subjects) + alert.more
    only = next(iter(alert.subjects), "")
    if rule.kind == RuleKind.INCIDENT:
        return next((one["title"] for one in alert.subjects.values() if "title" in one), only)
    noun = "task" if rule.about.has_tasks else "DAG"
    subject = f"{noun[:1].upper()}{noun[1:]} {only}" if count == 1 else f"{count:,} {noun}s"
    return f"{subject} {_happened(rule, count == 1)}"


def _happened(rule: Rule, is_one: bool) -> str:
    if rule.kind == RuleKind.DAG_SUCCEEDED:
        return "succeeded"
    if rule.kind == RuleKind.BUDGET_SPENT:
        return f"{'has' if is_one else 'have'} spent the error budget"
    if rule.kind == RuleKind.DAG_LATE:
        return f"missed the deadline {deadline_in_words(rule)}"
    if rule.limit_seconds is not None and rule.about.has_limit:
        takes = "takes" if is_one else "take"
        return f"{takes} longer than {duration_in_words(rule.limit_seconds)}"
    return "failed"


def deadline_in_words(rule: Rule) -> str:
    """Write the deadline of a rule with its time zone: "06:30 Europe/Copenhagen"."""
    return f"{rule.due_at:%H:%M} {rule.zone or 'UTC'}" if rule.due_at else ""


def _lines(alert: Alert, event: Event) -> list[str]:
    if event == Event.RESOLVED and alert.close_reason:
        return [alert.close_reason]
    shown = alert.newest_subjects(MOST_LINES)
    lines = [_line(name, one)[:LONGEST_LINE] for name, one in shown]
    rest = len(alert.subjects) + alert.more - len(shown)
    return [*lines, f"and {rest:,} more"] if rest else lines


def _line(name: str, one: dict[str, Any]) -> str:
    if "title" in one:
        return str(one.get("summary", ""))
    at = f"{datetime.fromtimestamp(one['at'], UTC):%d %b, %H:%M} UTC"
    times = f", {one['count']:,} times" if one["count"] > 1 else ""
    run = f", run {one['run']}" if one["run"] else ""
    note = f". {one['note']}" if one.get("note") else ""
    return f"{name}{run}, {at}{times}{note}"


def _facts(alert: Alert, event: Event, where: Where, now: datetime) -> list[tuple[str, str]]:
    rule = alert.rule
    facts = [("Deployment", f"{where.name} ({where.workspace})"), ("Rule", rule.name)]
    if alert.count > 1:
        facts.append(("So far", f"{alert.count:,} times"))
    if event == Event.RESOLVED and alert.closed_at is not None:
        lasted = (alert.closed_at - alert.happened_at).total_seconds()
        return [*facts, ("Lasted", duration_in_words(lasted))]
    late = (now - alert.happened_at).total_seconds()
    if event == Event.OPENED and late > LATE_SECONDS and rule.kind != RuleKind.INCIDENT:
        facts.append(("Told late", f"{duration_in_words(late)} after it happened"))
    return facts


def example(rule: Rule, *, where: Where, dag: str, now: datetime, url: str) -> Message:
    """Write the first message of a rule with values made up, for the preview. `dag` is one that it
    matches, empty for any.
    """
    dag = (dag or rule.dags.split(",")[0].replace("*", "") or "daily_orders")[:100]
    alert = Alert(rule=rule, happened_at=now, opened_at=now, last_at=now, count=1, told=1)
    name = f"{dag}.load" if rule.about.has_tasks else dag
    run = f"scheduled__{now.astimezone(ZoneInfo('UTC')):%Y-%m-%dT%H:%M}"
    subject = {"dag": dag, "task": "", "run": run, "count": 1, "at": int(now.timestamp())}
    if rule.kind == RuleKind.INCIDENT:
        name = "incident"
        subject |= {"title": "Airflow is unhealthy", "summary": "The scheduler does not answer."}
    alert.subjects = {name: subject}
    return compose(alert, event=Event.OPENED, where=where, url=url, key="example", now=now)
