from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.audit.models import AuditChain
from apps.audit.queries import events_of
from apps.audit.services import export_events
from apps.audit.verification import verify_all
from apps.organizations.audit_log.forms import AuditFilterForm
from apps.organizations.models import Organization

PAGE_SIZE = 50
# More than a page can wait for; the command reads any number.
MOST_VERIFIED = 20_000
MOST_FINDINGS = 100
COMMAND = "python manage.py verify_audit --organization {}"


@scoped(Organization, "organization.audit.view", by="slug")
@require_safe
def audit(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _page(request, organization, _filters(request))


@scoped(Organization, "organization.audit.view", by="slug")
@require_POST
def export_audit(request: HttpRequest, organization: Organization) -> HttpResponseBase:
    form = _filters(request)
    if not form.is_valid():
        return _page(request, organization, form)
    lines = export_events(
        actor=request_user(request),
        organization_id=organization.pk,
        organization_name=organization.name,
        filters=form.cleaned_data,
    )
    name = f"audit-{organization.slug}-{timezone.now():%Y-%m-%d}.ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)


@scoped(Organization, "organization.audit.view", by="slug")
@require_POST
def verify_audit(request: HttpRequest, organization: Organization) -> HttpResponse:
    chain = AuditChain.objects.filter(pk=organization.pk).first()
    context: dict[str, Any] = {
        "organization": organization,
        "command": COMMAND.format(organization.pk),
    }
    if chain and chain.last_sequence - chain.forgotten_sequence > MOST_VERIFIED:
        return render(
            request,
            "organizations/audit_log/verified.html",
            {**context, "chain": chain},
            status=422,
        )
    for verdict in verify_all(organization_id=organization.pk):
        context |= {
            "verdict": verdict,
            "chain": verdict.chain,
            "first": verdict.chain.forgotten_sequence + 1,
            "findings": verdict.findings[:MOST_FINDINGS],
        }
    return render(request, "organizations/audit_log/verified.html", context)


def _page(request: HttpRequest, organization: Organization, form: AuditFilterForm) -> HttpResponse:
    is_valid = form.is_valid()
    events = events_of(organization_id=organization.pk, **form.cleaned_data)
    page = Paginator(events, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "organization": organization,
        "form": form,
        "is_filtered": any(form.data.get(name) for name in form.fields),
        "page_obj": page,
        "retention_days": settings.AUDIT_RETENTION_DAYS,
    }
    return render(
        request, "organizations/audit_log/events.html", context, status=200 if is_valid else 422
    )


def _filters(request: HttpRequest) -> AuditFilterForm:
    """Read the filters from the address, where the export has them too."""
    return AuditFilterForm(request.GET, auto_id="audit-%s")
