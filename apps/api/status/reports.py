"""Reports of a status page: incidents, maintenances, their updates and postmortems."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import AwareDatetime, Field

from apps.api.status.pages import MANAGE, SEE, status_page
from apps.api.wire.errors import or_404
from apps.api.wire.forms import NOT_USABLE, check, fields_named
from apps.api.wire.gates import Call, in_organization
from apps.api.wire.idempotency import once
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.core.errors import Invalid
from apps.status_pages.manage.forms import AT, PostmortemForm, ReportForm, UpdateForm
from apps.status_pages.posting import services
from apps.status_pages.reports.models import Report
from apps.status_pages.setup.models import StatusPage

router = Router(by_alias=True, exclude_none=True, tags=["Status page"])
FIELDS = {
    "components": "componentIds",
    "begins_at": "beginsAt",
    "ends_at": "endsAt",
    "holds_alerts": "holdsAlerts",
}


class AtReport(InOrganization):
    report_id: str


class ReportQuery(Paging):
    kind: str = Field(default="", pattern="^(|INCIDENT|MAINTENANCE)$")
    is_over: bool | None = None


class ReportEntry(Shape):
    """`impact` is NONE, MINOR, MAJOR or CRITICAL, `stage` INVESTIGATING, IDENTIFIED or MONITORING;
    both are for incidents alone. `endsAt` and `holdsAlerts` are for maintenances. Times are those
    of minutes.
    """

    title: str
    component_ids: list[str] = []
    impact: str = "MINOR"
    stage: str = "INVESTIGATING"
    text: str
    begins_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    holds_alerts: bool = False


class NewReport(ReportEntry):
    """`kind` is INCIDENT or MAINTENANCE."""

    kind: str = Field(default="INCIDENT", pattern="^(INCIDENT|MAINTENANCE)$")


class NewUpdate(Shape):
    stage: str
    text: str


class Postmortem(Shape):
    text: str


class UpdateShape(Shape):
    id: str
    stage: str
    text: str
    created_at: datetime
    created_by: Profile


class ReportShape(Shape):
    """A draft is on no page: only who may post sees it. Updates are the newest first."""

    id: str
    kind: str
    title: str
    impact: str
    stage: str
    component_ids: list[str]
    is_draft: bool
    is_automatic: bool
    begins_at: datetime
    ends_at: datetime | None = None
    over_at: datetime | None = None
    posted_at: datetime | None = None
    postmortem: str
    updates: list[UpdateShape]


class ReportList(Listing):
    reports: list[ReportShape]


@router.get(
    "/organizations/{organizationId}/status-page/reports",
    auth=in_organization(SEE),
    response=ReportList,
    operation_id="ListStatusReports",
    summary="List incidents and maintenances of the status page, the newest first",
)
def list_reports(request: Call, at: Path[InOrganization], asked: Query[ReportQuery]) -> Any:
    found = _seen(request)
    if asked.kind:
        found = found.filter(kind=asked.kind.lower())
    if asked.is_over is not None:
        found = found.filter(over_at__isnull=not asked.is_over)
    page = page_of(found, asked, sorts={"beginsAt": "-begins_at"})
    return ReportList(reports=[_shape(one) for one in page.rows], **page.numbers(asked))


@router.post(
    "/organizations/{organizationId}/status-page/reports",
    auth=in_organization(MANAGE),
    response=ReportShape,
    operation_id="CreateStatusReport",
    summary="Post an incident or a maintenance, and tell subscribers",
)
@once
def new_report(request: Call, at: Path[InOrganization], body: NewReport) -> Any:
    page, kind, now = status_page(request), body.kind.lower(), timezone.now()
    form = _checked(body, page, kind)
    with fields_named(FIELDS):
        made = services.post_report(
            actor=request.caller.user,
            page=page,
            kind=kind,
            data=form.report_data(now),
            stage=form.cleaned_data["stage"],
            text=form.cleaned_data["text"],
            now=now,
            holds_alerts=form.cleaned_data.get("holds_alerts", False),
        )
    return _shape(made)


@router.get(
    "/organizations/{organizationId}/status-page/reports/{reportId}",
    auth=in_organization(SEE),
    response=ReportShape,
    operation_id="GetStatusReport",
    summary="Get an incident or a maintenance with its updates",
)
def get_report(request: Call, at: Path[AtReport]) -> Any:
    return _shape(_found(request, at))


@router.post(
    "/organizations/{organizationId}/status-page/reports/{reportId}",
    auth=in_organization(MANAGE),
    response=ReportShape,
    operation_id="PostStatusDraft",
    summary="Post a draft as it was edited",
)
def post_draft(request: Call, at: Path[AtReport], body: ReportEntry) -> Any:
    """409 when it is posted."""
    report, now = _found(request, at), timezone.now()
    form = _checked(body, report.page, report.kind)
    with fields_named(FIELDS):
        services.post_draft(
            actor=request.caller.user,
            report=report,
            data=form.report_data(now),
            stage=form.cleaned_data["stage"],
            text=form.cleaned_data["text"],
            now=now,
        )
    return _shape(_found(request, at))


@router.post(
    "/organizations/{organizationId}/status-page/reports/{reportId}/updates",
    auth=in_organization(MANAGE),
    response=ReportShape,
    operation_id="PostStatusUpdate",
    summary="Post an update, and tell subscribers",
)
@once
def post_update(request: Call, at: Path[AtReport], body: NewUpdate) -> Any:
    """409 when the report is over, or still a draft."""
    report = _found(request, at)
    form = UpdateForm({"stage": body.stage.lower(), "text": body.text}, report=report)
    check(form, {})
    services.post_update(
        actor=request.caller.user,
        report=report,
        stage=form.cleaned_data["stage"],
        text=form.cleaned_data["text"],
        now=timezone.now(),
    )
    return _shape(_found(request, at))


@router.post(
    "/organizations/{organizationId}/status-page/reports/{reportId}/postmortem",
    auth=in_organization(MANAGE),
    response=ReportShape,
    operation_id="SetStatusPostmortem",
    summary="Write, replace or clear the postmortem of an incident that is over",
)
def write_postmortem(request: Call, at: Path[AtReport], body: Postmortem) -> Any:
    report = _found(request, at)
    form = PostmortemForm({"postmortem": body.text})
    check(form, {"postmortem": "text"})
    text = form.cleaned_data["postmortem"]
    services.write_postmortem(
        actor=request.caller.user, report=report, text=text, now=timezone.now()
    )
    return _shape(report)


@router.delete(
    "/organizations/{organizationId}/status-page/reports/{reportId}",
    auth=in_organization(MANAGE),
    response={204: None},
    operation_id="DiscardStatusDraft",
    summary="Discard a draft",
)
def discard_draft(request: Call, at: Path[AtReport]) -> None:
    """409 when it is posted: what people read is not taken back."""
    services.discard_draft(actor=request.caller.user, report=_found(request, at))


def _checked(body: ReportEntry, page: StatusPage, kind: str) -> ReportForm:
    keys = dict(page.components.values_list("key", "pk"))
    unknown = [one for one in body.component_ids if one not in keys]
    if unknown:
        raise Invalid(NOT_USABLE, field="componentIds")
    entered = {
        "title": body.title,
        "components": [keys[one] for one in body.component_ids],
        "impact": body.impact.lower(),
        "stage": body.stage.lower(),
        "text": body.text,
        "begins_at": _minute(body.begins_at),
        "ends_at": _minute(body.ends_at),
        "holds_alerts": body.holds_alerts,
    }
    with timezone.override(UTC):
        form = ReportForm(entered, page=page, kind=kind)
        check(form, FIELDS)
    return form


def _minute(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):{AT}}" if at else ""


def _seen(request: Call) -> QuerySet[Report]:
    """Return reports of the page; drafts are there for those alone who may post them."""
    rows = Report.objects.filter(page=status_page(request))
    if not request.caller.user.has_perm(MANAGE, request.organization):
        rows = rows.filter(posted_at__isnull=False)
    return rows.select_related("page__organization").prefetch_related(
        "components", "updates__author"
    )


def _found(request: Call, at: AtReport) -> Report:
    return or_404(_seen(request).filter(key=at.report_id).first())


def _shape(report: Report) -> ReportShape:
    updates = sorted(report.updates.all(), key=lambda one: (one.at, one.pk), reverse=True)
    return ReportShape(
        id=report.key,
        kind=report.kind.upper(),
        title=report.title,
        impact=report.impact.upper(),
        stage=report.stage.upper(),
        component_ids=[one.key for one in report.components.all()],
        is_draft=report.is_draft,
        is_automatic=report.is_automatic,
        begins_at=report.begins_at,
        ends_at=report.ends_at,
        over_at=report.over_at,
        posted_at=report.posted_at,
        postmortem=report.postmortem,
        updates=[
            UpdateShape(
                id=one.key,
                stage=one.stage.upper(),
                text=one.text,
                created_at=one.at,
                created_by=profile_of(one.author),
            )
            for one in updates
        ],
    )
