from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.organizations.models import Organization
from apps.status_pages.copies import html
from apps.status_pages.copies.content import PageContent, content_of
from apps.status_pages.copies.files import SHEETS
from apps.status_pages.manage.parts import MANAGE, SEE, address, common, page_of
from apps.status_pages.reports.models import Impact, Report
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.setup.states import TONES, State

PAGE_SIZE, LONGEST_SEARCH = 25, 100


@scoped(Organization, SEE, by="slug")
@require_safe
def overview(request: HttpRequest, organization: Organization) -> HttpResponse:
    page = StatusPage.objects.filter(organization=organization).first()
    context = common(request, organization, page, "overview")
    if page is not None:
        can_manage = bool(context["can_manage"])
        context |= _shown(page, content_of(page, now=timezone.now()))
        search = request.GET.get("q", "").strip()[:LONGEST_SEARCH]
        reports = Paginator(_reports(page, can_manage, search), PAGE_SIZE)
        shown = reports.get_page(request.GET.get("page"))
        context |= {
            "bucket_copy": page.bucket_copies.filter(store__retired_at=None)
            .select_related("store")
            .first(),
            "search": search,
            "shown": shown,
            "reports": [_report_row(one, organization) for one in shown.object_list],
            "new_incident_url": address(organization, "new_report", "incident"),
            "new_maintenance_url": address(organization, "new_report", "maintenance"),
            "new_component_url": address(organization, "new_component"),
            "preview_url": address(organization, "preview"),
            "switch_url": address(organization, "switch"),
        }
    return render(request, "status_pages/manage/overview.html", context)


@scoped(Organization, MANAGE, by="slug")
@require_safe
def preview(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show the page as visitors would see it now, on or off."""
    page = page_of(organization)
    text = html.index(
        content_of(page, now=timezone.now()),
        stylesheets=[static(f"css/{name}") for name in SHEETS],
        takes_subscriptions=False,
        preview={"is_on": page.is_on, "icon": static("img/favicon.svg")},
    )
    return HttpResponse(text)


def _shown(page: StatusPage, content: PageContent) -> dict[str, Any]:
    return {
        "verdict": html.verdict(content),
        "tone": TONES[content.state],
        "takes_mail": bool(settings.EMAIL_HOST),
        "is_public": page.audience == StatusPage.Audience.PUBLIC,
        "rows": [
            {
                "component": one,
                "tone": TONES[one.state],
                "word": State(one.state).label,
                "uptime": one.uptime,
                "data_days": one.data_days,
            }
            for one in content.components
        ],
    }


def _reports(page: StatusPage, can_manage: bool, search: str) -> QuerySet[Report]:
    """List reports, the newest first. Drafts are for those who may post them."""
    rows = page.reports.order_by("-begins_at", "-pk")
    if not can_manage:
        rows = rows.filter(posted_at__isnull=False)
    return rows.filter(title__icontains=search) if search else rows


def _report_row(report: Report, organization: Organization) -> dict[str, Any]:
    word = f"Draft, {'over' if report.is_over else 'open'}" if report.is_draft else ""
    tone = "good" if report.is_over else ("move" if report.is_maintenance else "warn")
    return {
        "report": report,
        "url": address(organization, "report", report.pk),
        "tone": "idle" if report.is_draft else tone,
        "word": word or report.get_stage_display(),
        "impact": "Maintenance" if report.is_maintenance else Impact(report.impact).label,
    }
