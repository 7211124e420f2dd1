"""What people do with reports. Each post goes to subscribers and channels once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Conflict, Invalid
from apps.status_pages.posting.announcing import announce
from apps.status_pages.posting.silencing import silence_alerts
from apps.status_pages.reports.models import (
    FINAL,
    INCIDENT_STAGES,
    MAINTENANCE_STAGES,
    Report,
    ReportUpdate,
    Stage,
)
from apps.status_pages.setup.models import Component, StatusPage


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a person enters about a report; `ends_at` of a maintenance alone."""

    title: str
    components: Sequence[Component]
    impact: str
    begins_at: datetime
    ends_at: datetime | None = None


@transaction.atomic
def post_report(
    *,
    actor: User | None,
    page: StatusPage,
    kind: str,
    data: ReportData,
    stage: str,
    text: str,
    now: datetime,
    holds_alerts: bool = False,
) -> Report:
    """Post a new incident or maintenance with its first update. Without an actor, the portal does.

    `holds_alerts`: alerts about its Deployments are silenced meanwhile where the person may. Raises
    Invalid when a maintenance ends before it begins or is over already.
    """
    _check_times(data, now)
    report = Report(page=page, kind=kind, stage=stage, created_by=actor, created_at=now)
    report.is_automatic = actor is None
    _fill(report, data)
    _post_first(actor, report, data.components, stage, text, now)
    if holds_alerts and actor is not None:
        silence_alerts(actor=actor, report=report, now=now)
    return report


@transaction.atomic
def post_draft(
    *, actor: User, report: Report, data: ReportData, stage: str, text: str, now: datetime
) -> Report:
    """Post a draft as a person edited it. Raises Conflict when it was posted meanwhile."""
    row = Report.objects.select_for_update(of=("self",)).select_related("page").get(pk=report.pk)
    if not row.is_draft:
        raise Conflict("This draft was posted meanwhile.")
    row.is_automatic = False
    _fill(row, data)
    return _post_first(actor, row, data.components, stage, text, now)


@transaction.atomic
def post_update(
    *, actor: User | None, report: Report, stage: str, text: str, now: datetime
) -> ReportUpdate:
    """Post an update. From a person's first one on, the portal leaves the incident to people.

    Raises Conflict when the report is over or still a draft.
    """
    row = Report.objects.select_for_update(of=("self",)).select_related("page").get(pk=report.pk)
    if row.is_over:
        raise Conflict("This is over already. Post a new one.")
    if row.is_draft:
        raise Conflict("This is a draft. Post it first.")
    if actor is not None:
        row.is_automatic = False
    return _post(actor, row, stage, text, now)


@transaction.atomic
def write_postmortem(*, actor: User, report: Report, text: str, now: datetime) -> None:
    """Write, replace or clear what was learned. It is shown and sends nothing."""
    if not report.is_over or report.is_draft:
        raise Conflict("A postmortem is written once the incident is resolved.")
    report.postmortem = text
    report.save(update_fields=["postmortem"])
    _touch(report.page, now)
    _record("postmortem_written", actor, report, {"incident": [None, report.title]})


@transaction.atomic
def discard_draft(*, actor: User, report: Report) -> None:
    """Delete a draft. Raises Conflict when it is posted: what people read is not taken back."""
    row = Report.objects.select_for_update(of=("self",)).get(pk=report.pk)
    if not row.is_draft:
        raise Conflict("It is posted. Post an update instead.")
    _record("draft_discarded", actor, report, {"incident": [row.title, None]})
    row.delete()


def stages_after(report: Report) -> tuple[Stage, ...]:
    """Return the stages that an update of a report may have."""
    return MAINTENANCE_STAGES if report.is_maintenance else INCIDENT_STAGES


def _check_times(data: ReportData, now: datetime) -> None:
    if data.ends_at is None:
        return
    if data.ends_at <= data.begins_at:
        raise Invalid("A maintenance ends after it begins.", field="ends_at")
    if data.ends_at <= now:
        raise Invalid("This time is over already.", field="ends_at")


def _fill(report: Report, data: ReportData) -> None:
    report.title, report.impact = data.title, data.impact
    report.begins_at, report.ends_at = data.begins_at, data.ends_at


def _post_first(
    actor: User | None,
    report: Report,
    components: Sequence[Component],
    stage: str,
    text: str,
    now: datetime,
) -> Report:
    report.posted_at = now
    report.save()
    report.components.set(components)
    _post(actor, report, stage, text, now)
    return report


def _post(actor: User | None, report: Report, stage: str, text: str, now: datetime) -> ReportUpdate:
    # The row of the page orders updates: receivers go by their ids.
    _touch(report.page, now)
    report.stage = stage
    report.over_at = now if stage in FINAL else None
    report.save(update_fields=["stage", "over_at", "is_automatic"])
    update = ReportUpdate.objects.create(
        report=report, stage=stage, text=text, at=now, author=actor
    )
    announce(update, now=now)
    words = f"{Stage(stage).label}: {text[:200]}"
    _record("update_posted", actor, report, {str(report.title): [None, words]})
    return update


def _touch(page: StatusPage, now: datetime) -> None:
    StatusPage.objects.filter(pk=page.pk).update(changed_at=now)


def _record(
    what: str, actor: User | None, report: Report, changes: dict[str, list[str | None]]
) -> None:
    action = f"status_page.{what}"
    record_on(action=action, actor=actor, on=report.page.organization, changes=changes)
