"""When an incident opens and closes. Pure: changes rows in memory and says what is to write."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from apps.core.words import duration_in_words
from apps.observability.incidents.detectors.seen import Finding
from apps.observability.incidents.kinds import AT_ONCE, KINDS, Hold, Severity
from apps.observability.incidents.models import Incident, IncidentEvent

# Evaluations closer than this count as one: what changed is looked at every few seconds. All holds
# are multiples of it.
ONE_EVALUATION = timedelta(seconds=15)
CLOSED_WITH_DEPLOYMENT = "The Deployment is being deleted."
What = IncidentEvent.What


@dataclass
class Changes:
    """What an evaluation has to write. An event belongs to a row that may not be saved yet."""

    created: list[Incident] = field(default_factory=list)
    updated: list[Incident] = field(default_factory=list)
    forgotten: list[Incident] = field(default_factory=list)
    events: list[IncidentEvent] = field(default_factory=list)


def evaluate(
    *,
    deployment_id: int,
    rows: Iterable[Incident],
    found: Iterable[Finding],
    is_blind: bool,
    now: datetime,
    changes: Changes,
    unknown: Collection[str] = (),
) -> None:
    """Compare the unclosed incidents of a Deployment with what is wrong now.

    While it is blind, incidents that need an observation stay as they are, and so do those of
    `unknown` kinds: nothing is closed by silence.
    """
    known = {(row.kind, row.subject): row for row in rows}
    for finding in found:
        row = known.pop((finding.kind, finding.subject), None)
        if row is None:
            _notice(deployment_id, finding, now, changes)
        elif _counts(row, now):
            _found_again(row, finding, now, changes)
    for row in known.values():
        kind = KINDS.get(row.kind)
        is_held = row.kind in unknown or (is_blind and kind is not None and kind.is_observed)
        closes_at_once = kind is None or kind.closes == AT_ONCE
        if not is_held and (closes_at_once or _counts(row, now)):
            _not_found(row, now, changes)


def close_all(*, rows: Iterable[Incident], reason: str, now: datetime, changes: Changes) -> None:
    """Close whatever is open, and forget what was noticed: its Deployment is going away."""
    for row in rows:
        _end(row, reason, now, changes)


def _notice(deployment_id: int, finding: Finding, now: datetime, changes: Changes) -> None:
    row = Incident(
        deployment_id=deployment_id,
        kind=finding.kind,
        subject=finding.subject,
        noticed_at=now,
        last_seen_at=now,
        checked_at=now,
        evaluations=1,
    )
    _describe(row, finding)
    changes.created.append(row)
    _open_if_it_holds(row, now, changes)


def _found_again(row: Incident, finding: Finding, now: datetime, changes: Changes) -> None:
    before = row.severity
    _describe(row, finding)
    if before != finding.severity and row.is_open:
        words = f"{finding.severity.label}, {Severity(before).label} before."
        _tell(row, What.CHANGED, words, now, changes)
    if row.clear_since is not None:
        row.clear_since = None
        row.evaluations = 0
    row.evaluations += 1
    # A clock that was put back must not make it look older than it is.
    row.noticed_at = min(row.noticed_at, now)
    row.last_seen_at = row.checked_at = now
    changes.updated.append(row)
    if row.opened_at is None:
        _open_if_it_holds(row, now, changes)


def _not_found(row: Incident, now: datetime, changes: Changes) -> None:
    if row.clear_since is None:
        row.clear_since = now
        row.evaluations = 0
    row.evaluations += 1
    row.clear_since = min(row.clear_since, now)
    row.checked_at = now
    kind = KINDS.get(row.kind)
    clear_for = now - row.clear_since
    if _holds(kind.closes if kind else AT_ONCE, row.evaluations, clear_for):
        reason = f"Not found for {duration_in_words(clear_for.total_seconds())}."
        _end(row, reason if clear_for else "Not found any more.", now, changes)
    elif row.opened_at is None:
        # It was noticed and did not hold.
        changes.forgotten.append(row)
    else:
        changes.updated.append(row)


def _open_if_it_holds(row: Incident, now: datetime, changes: Changes) -> None:
    if _holds(KINDS[row.kind].opens, row.evaluations, now - row.noticed_at):
        row.opened_at = now
        _tell(row, What.OPENED, row.summary, now, changes)


def _end(row: Incident, reason: str, now: datetime, changes: Changes) -> None:
    if row.opened_at is None:
        changes.forgotten.append(row)
        return
    row.closed_at = max(now, row.opened_at)
    changes.updated.append(row)
    _tell(row, What.CLOSED, reason, now, changes)


def _describe(row: Incident, finding: Finding) -> None:
    row.severity = finding.severity
    row.title = finding.title
    row.summary = finding.summary
    row.evidence = finding.evidence.as_json()


def _tell(row: Incident, what: What, note: str, now: datetime, changes: Changes) -> None:
    changes.events.append(IncidentEvent(incident=row, at=now, what=what, note=note[:600]))


def _holds(hold: Hold, evaluations: int, lasted: timedelta) -> bool:
    return evaluations >= hold.evaluations and lasted >= timedelta(seconds=hold.seconds)


def _counts(row: Incident, now: datetime) -> bool:
    """Whether this evaluation is another one than the last. One before it, by a clock that was put
    back, is.
    """
    return not timedelta() <= now - row.checked_at < ONE_EVALUATION


def by_deployment(rows: Iterable[Incident]) -> Mapping[int, list[Incident]]:
    """Sort rows by the id of their Deployment."""
    found: dict[int, list[Incident]] = {}
    for row in rows:
        found.setdefault(row.deployment_id, []).append(row)
    return found
