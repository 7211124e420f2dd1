from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.status_pages.manage.forms import PostmortemForm, ReportForm, UpdateForm
from apps.status_pages.manage.parts import MANAGE, SEE, address, common, page_of
from apps.status_pages.posting import services
from apps.status_pages.posting.drafting import draft_text
from apps.status_pages.reports.models import Report
from apps.status_pages.setup.models import StatusPage


@scoped(Organization, MANAGE, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, organization: Organization, report_kind: str) -> HttpResponse:
    """Write an incident or a maintenance, and post it."""
    if report_kind not in Report.Kind.values:
        raise Http404
    page = page_of(organization)
    posted = request.POST if request.method == "POST" else None
    form = ReportForm(posted, page=page, kind=report_kind)
    if is_submitted(request, form):
        with errors_shown_in(form):
            made = services.post_report(
                actor=request_user(request),
                page=page,
                kind=report_kind,
                data=form.report_data(timezone.now()),
                stage=form.cleaned_data["stage"],
                text=form.cleaned_data["text"],
                now=timezone.now(),
                holds_alerts=form.cleaned_data.get("holds_alerts", False),
            )
            messages.success(request, "Posted. Subscribers are told now.")
            return redirect(address(organization, "report", made.pk))
    context = common(request, organization, page, "") | {
        "form": form,
        "is_maintenance": report_kind == Report.Kind.MAINTENANCE,
    }
    return form_page(request, "status_pages/manage/new_report.html", context, form)


@scoped(Organization, SEE, by="slug", writing=MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def report(request: HttpRequest, organization: Organization, report_id: int) -> HttpResponse:
    """Show a report; take an update, or post a draft as it was edited."""
    page = page_of(organization)
    found = _found(request, page, report_id)
    if found.is_draft:
        return _draft(request, organization, page, found)
    form = UpdateForm(request.POST if request.method == "POST" else None, report=found)
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.post_update(
                actor=request_user(request),
                report=found,
                stage=form.cleaned_data["stage"],
                text=form.cleaned_data["text"],
                now=timezone.now(),
            )
            messages.success(request, "Update posted. Subscribers are told now.")
            return redirect(address(organization, "report", found.pk))
    context = common(request, organization, page, "") | _shown(organization, found)
    context["form"] = form
    return form_page(request, "status_pages/manage/report.html", context, form)


def _draft(
    request: HttpRequest, organization: Organization, page: StatusPage, found: Report
) -> HttpResponse:
    posted = request.POST if request.method == "POST" else None
    form = ReportForm(posted, page=page, kind=found.kind, draft=found, text=_suggested(found))
    if is_submitted(request, form):
        with errors_shown_in(form):
            services.post_draft(
                actor=request_user(request),
                report=found,
                data=form.report_data(timezone.now()),
                stage=form.cleaned_data["stage"],
                text=form.cleaned_data["text"],
                now=timezone.now(),
            )
            messages.success(request, "Posted. Subscribers are told now.")
            return redirect(address(organization, "report", found.pk))
    context = common(request, organization, page, "") | {
        "form": form,
        "report": found,
        "discard_url": address(organization, "discard", found.pk),
    }
    return form_page(request, "status_pages/manage/draft.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@require_POST
def postmortem(request: HttpRequest, organization: Organization, report_id: int) -> HttpResponse:
    found = _found(request, page_of(organization), report_id)
    form = PostmortemForm(request.POST)
    if form.is_valid():
        with errors_as_messages(request):
            services.write_postmortem(
                actor=request_user(request),
                report=found,
                text=form.cleaned_data["postmortem"],
                now=timezone.now(),
            )
            messages.success(request, "Postmortem saved.")
    else:
        messages.error(request, "A postmortem has 10,000 characters at most.")
    return redirect(address(organization, "report", found.pk))


@scoped(Organization, MANAGE, by="slug")
@require_POST
def discard(request: HttpRequest, organization: Organization, report_id: int) -> HttpResponse:
    found = _found(request, page_of(organization), report_id)
    with errors_as_messages(request):
        services.discard_draft(actor=request_user(request), report=found)
        messages.success(request, "Draft discarded.")
    return redirect(address(organization, "overview"))


def _suggested(found: Report) -> str:
    return draft_text(names=[one.name for one in found.components.all()], since=found.begins_at)


def _found(request: HttpRequest, page: StatusPage, report_id: int) -> Report:
    """Return a report of a page. Drafts are there for those alone who may post them."""
    rows = page.reports.select_related("page__organization", "created_by")
    found: Report = get_object_or_404(rows.prefetch_related("components"), pk=report_id)
    if found.is_draft and not request.user.has_perm(MANAGE, page.organization):
        raise Http404
    return found


def _shown(organization: Organization, found: Report) -> dict[str, Any]:
    updates = found.updates.select_related("author", "mailing").order_by("-at", "-pk")
    return {
        "report": found,
        "updates": list(updates),
        "postmortem_form": PostmortemForm(initial={"postmortem": found.postmortem}),
        "postmortem_url": address(organization, "postmortem", found.pk),
    }
