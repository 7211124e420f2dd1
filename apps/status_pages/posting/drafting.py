"""Reports that the portal writes itself: incidents from health, and the stages of a maintenance.

Words name components as people named them, and nothing else: no Deployment, no kind of incident.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from apps.core.errors import Conflict
from apps.status_pages.posting.services import ReportData, post_report, post_update
from apps.status_pages.reports.models import FINAL, Impact, Report, Stage
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import DISTURBED, State, worst

# What is disturbed within this time is one incident.
TOGETHER = timedelta(minutes=10)
IMPACTS: dict[str, Impact] = {
    State.DEGRADED: Impact.MINOR,
    State.PARTIAL: Impact.MAJOR,
    State.MAJOR: Impact.CRITICAL,
}
WORDS: dict[str, str] = {
    State.DEGRADED: "degraded",
    State.PARTIAL: "partly down",
    State.MAJOR: "down",
}
RANK = list(Impact)


def follow_health(*, components: Sequence[Component], now: datetime) -> None:
    """Draft or post incidents for components that are disturbed and in no open report, and end
    those of the portal's own whose components are all well again.
    """
    by_page: dict[int, list[Component]] = {}
    for one in components:
        by_page.setdefault(one.page_id, []).append(one)
    current = {one.pk: one for one in components}
    open_by_page = _open_reports(by_page)
    for page_id, mine in by_page.items():
        page, reports = mine[0].page, open_by_page.get(page_id, [])
        if page.drafting != StatusPage.Drafting.NEVER:
            _follow_page(page, mine, reports, now)
        for report in reports:
            if report.is_automatic:
                _follow_report(report, current, now)


def keep_times(*, now: datetime) -> None:
    """Begin and complete maintenances whose time has come."""
    rows = Report.objects.filter(
        Q(stage=Stage.SCHEDULED, begins_at__lte=now) | Q(stage=Stage.IN_PROGRESS, ends_at__lte=now),
        kind=Report.Kind.MAINTENANCE,
        posted_at__isnull=False,
        page__is_on=True,
    )
    for report in rows.select_related("page__organization"):
        stage, text = Stage.IN_PROGRESS, "The maintenance has begun."
        if report.ends_at is not None and report.ends_at <= now:
            stage, text = Stage.COMPLETED, "The maintenance is over."
        with suppress(Conflict):
            post_update(actor=None, report=report, stage=stage, text=text, now=now)


def _open_reports(page_ids: Collection[int]) -> dict[int, list[Report]]:
    """Return what is not over on some pages, drafts included; of maintenances, those that go on."""
    found: dict[int, list[Report]] = {}
    rows = Report.objects.filter(page__in=page_ids).exclude(stage__in=(*FINAL, Stage.SCHEDULED))
    rows = rows.select_related("page__organization").prefetch_related("components")
    for report in rows.order_by("-created_at"):
        found.setdefault(report.page_id, []).append(report)
    return found


def _follow_page(
    page: StatusPage, components: Iterable[Component], reports: Iterable[Report], now: datetime
) -> None:
    known = {component.pk for report in reports for component in report.components.all()}
    new = [one for one in components if one.state in DISTURBED and one.pk not in known]
    if not new:
        return
    fresh = [one for one in reports if one.is_automatic and now - one.created_at < TOGETHER]
    if fresh:
        fresh[0].components.add(*new)
        return
    _write(page, new, now)


def _write(page: StatusPage, components: Sequence[Component], now: datetime) -> None:
    state = worst(one.state for one in components)
    data = ReportData(
        title=_title(components),
        components=components,
        impact=IMPACTS[state],
        begins_at=min(one.state_at for one in components),
    )
    if page.drafting == StatusPage.Drafting.POST:
        post_report(
            actor=None,
            page=page,
            kind=Report.Kind.INCIDENT,
            data=data,
            stage=Stage.INVESTIGATING,
            text=draft_text(names=[one.name for one in components], since=data.begins_at),
            now=now,
        )
        return
    report = Report.objects.create(
        page=page,
        kind=Report.Kind.INCIDENT,
        title=data.title,
        impact=data.impact,
        stage=Stage.INVESTIGATING,
        begins_at=data.begins_at,
        created_at=now,
        is_automatic=True,
    )
    report.components.set(components)


def _title(components: Sequence[Component]) -> str:
    if len(components) > 1:
        return "Several components are affected"
    return f"{components[0].name} is {WORDS[components[0].state]}"


def draft_text(*, names: Sequence[str], since: datetime) -> str:
    """Return the words of a first update, for a person to edit."""
    at = f"{since.astimezone(UTC):%H:%M} UTC"
    return f"Disturbed since {at}: {', '.join(names)}. We are investigating."


def _follow_report(report: Report, current: Mapping[int, Component], now: datetime) -> None:
    mine = [current[one.pk] for one in report.components.all() if one.pk in current]
    if any(one.state in DISTURBED for one in mine):
        _raise_impact(report, mine)
        return
    if any(one.state == State.UNKNOWN for one in mine):
        return
    if report.is_draft:
        report.stage, report.over_at = Stage.RESOLVED, now
        report.save(update_fields=["stage", "over_at"])
        return
    text = "Everything works again."
    post_update(actor=None, report=report, stage=Stage.RESOLVED, text=text, now=now)


def _raise_impact(report: Report, components: Iterable[Component]) -> None:
    impact = IMPACTS.get(worst(one.state for one in components), Impact.MINOR)
    if RANK.index(impact) > RANK.index(Impact(report.impact)):
        report.impact = impact
        report.save(update_fields=["impact"])
