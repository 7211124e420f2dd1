"""What a page says at a moment: read from rows once, then written in every format. No format reads
rows itself, and nothing in here has a name that people did not write for this page.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Prefetch, Q

from apps.core.words import duration_in_words
from apps.status_pages.health.models import ComponentDay
from apps.status_pages.reports.models import (
    FINAL,
    STATE_OF_IMPACT,
    Impact,
    Report,
    ReportUpdate,
    Stage,
)
from apps.status_pages.setup.addresses import page_url, portal_address
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import DISTURBED, TONES, State, worst

DAYS = 90
MOST_REPORTS = 100
# How long an incident that is over stays on the first page.
RECENT = timedelta(days=14)
# Of a partial outage, this share counts as downtime, as Statuspage has it.
PARTIAL_SHARE = 0.3
# Less than this of a day does not colour it: one look that was late.
LEAST_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of a component: the worst state that lasted a minute, and seconds down and known."""

    day: date
    state: State
    down: float
    known: float


@dataclass(frozen=True, kw_only=True)
class ComponentContent:
    """A component; `days` are the last 90, the oldest first. `uptime` in percent, None without
    data. `data_days` are those with data.
    """

    key: str
    name: str
    about: str
    group: str
    position: int
    state: State
    state_at: datetime
    created_at: datetime
    days: tuple[Day, ...]
    uptime: float | None
    data_days: int


@dataclass(frozen=True, kw_only=True)
class UpdateContent:
    key: str
    stage: Stage
    text: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """A report with its updates, the newest first."""

    key: str
    is_maintenance: bool
    title: str
    impact: str
    stage: Stage
    is_over: bool
    component_keys: tuple[str, ...]
    component_names: tuple[str, ...]
    begins_at: datetime
    ends_at: datetime | None
    over_at: datetime | None
    posted_at: datetime
    postmortem: str
    updates: tuple[UpdateContent, ...]

    @property
    def tone(self) -> str:
        if self.is_over:
            return "idle"
        return "move" if self.is_maintenance else TONES[STATE_OF_IMPACT[self.impact]]

    @property
    def lasted(self) -> str:
        """How long an incident that is over lasted, in whole minutes; empty for others."""
        if self.is_maintenance or self.over_at is None:
            return ""
        seconds = (self.over_at - self.begins_at).total_seconds()
        minutes = max(1, round(seconds / 60))
        return f"{minutes} min" if minutes < 60 else duration_in_words(seconds)

    @property
    def impact_word(self) -> str:
        return "Maintenance" if self.is_maintenance else Impact(self.impact).label


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """All of a page. `url` is where it is read, `portal_url` what takes subscriptions."""

    key: str
    name: str
    about: str
    url: str
    portal_url: str
    at: datetime
    state: State
    components: tuple[ComponentContent, ...]
    reports: tuple[ReportContent, ...]

    @property
    def open_incidents(self) -> list[ReportContent]:
        return [one for one in self.reports if not one.is_maintenance and not one.is_over]

    @property
    def planned(self) -> list[ReportContent]:
        """Maintenances that go on or come, the next one first."""
        open_ones = [one for one in self.reports if one.is_maintenance and not one.is_over]
        return sorted(open_ones, key=lambda one: one.begins_at)

    @property
    def recent(self) -> list[ReportContent]:
        """What is over, since a fortnight."""
        first = self.at - RECENT
        return [one for one in self.reports if one.over_at is not None and one.over_at >= first]


def content_of(page: StatusPage, *, now: datetime) -> PageContent:
    """Read all that a page says at a time, in a constant number of queries."""
    reports = _reports(page, now)
    days = _days(page, now.date())
    components = tuple(
        _component(one, days.get(one.pk, {}), reports, now)
        for one in page.components.order_by("position", "pk")
    )
    return PageContent(
        key=page.key,
        name=page.name,
        about=page.about,
        url=page_url(page),
        portal_url=portal_address(page),
        at=now,
        state=worst(one.state for one in components),
        components=components,
        reports=tuple(map(_report, reports)),
    )


def _reports(page: StatusPage, now: datetime) -> list[Report]:
    """List what is posted and open, or was over within the days that the bars show."""
    is_shown = ~Q(stage__in=FINAL) | Q(over_at__gte=now - timedelta(days=DAYS))
    rows = Report.objects.filter(is_shown, page=page, posted_at__isnull=False)
    updates = ReportUpdate.objects.order_by("-at", "-pk")
    components = Component.objects.order_by("position", "pk")
    rows = rows.prefetch_related(Prefetch("updates", updates), Prefetch("components", components))
    return list(rows.order_by("-begins_at", "-pk")[:MOST_REPORTS])


def _days(page: StatusPage, today: date) -> dict[int, dict[date, ComponentDay]]:
    rows = ComponentDay.objects.filter(component__page=page, day__gt=today - timedelta(days=DAYS))
    found: dict[int, dict[date, ComponentDay]] = {}
    for row in rows:
        found.setdefault(row.component_id, {})[row.day] = row
    return found


def _component(
    component: Component, rows: dict[date, ComponentDay], reports: Iterable[Report], now: datetime
) -> ComponentContent:
    told = [one.state_at(now) for one in reports if component in one.components.all()]
    today = now.date()
    days = tuple(
        _day(today - timedelta(days=back), rows.get(today - timedelta(days=back)))
        for back in reversed(range(DAYS))
    )
    return ComponentContent(
        key=component.key,
        name=component.name,
        about=component.about,
        group=component.group,
        position=component.position,
        state=worst((component.state, *told)),
        state_at=component.state_at,
        created_at=component.created_at,
        days=days,
        uptime=uptime_of(days),
        data_days=sum(one.known > 0 for one in days),
    )


def _day(day: date, row: ComponentDay | None) -> Day:
    if row is None:
        return Day(day=day, state=State.UNKNOWN, down=0, known=0)
    found = [one for one in DISTURBED if getattr(row, one) >= LEAST_SECONDS]
    if not found and row.under_maintenance >= LEAST_SECONDS:
        found = [State.MAINTENANCE]
    known = row.operational + row.degraded_performance + row.partial_outage + row.major_outage
    if not found and not known:
        found = [State.UNKNOWN]
    down = row.major_outage + PARTIAL_SHARE * row.partial_outage
    return Day(day=day, state=worst(found), down=down, known=known)


def uptime_of(days: Sequence[Day]) -> float | None:
    """Return the share of known time, without maintenance, that was not down, in percent."""
    known = sum(one.known for one in days)
    return 100 * (1 - sum(one.down for one in days) / known) if known else None


def _report(report: Report) -> ReportContent:
    components = list(report.components.all())
    return ReportContent(
        key=report.key,
        is_maintenance=report.is_maintenance,
        title=report.title,
        impact=report.impact,
        stage=Stage(report.stage),
        is_over=report.is_over,
        component_keys=tuple(one.key for one in components),
        component_names=tuple(one.name for one in components),
        begins_at=report.begins_at,
        ends_at=report.ends_at,
        over_at=report.over_at,
        posted_at=report.posted_at or report.created_at,
        postmortem=report.postmortem,
        updates=tuple(
            UpdateContent(key=one.key, stage=Stage(one.stage), text=one.text, at=one.at)
            for one in report.updates.all()
        ),
    )
