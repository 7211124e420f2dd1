from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.signed_in import person_of
from apps.audit.queries import events_of
from apps.audit.services import export_events
from apps.organizations.models import Organization

PAGE_SIZE = 50
FILTERS = ("actor", "action", "target")


@scoped(Organization, "organization.audit.view", by="slug")
@require_safe
def audit(request: HttpRequest, organization: Organization) -> HttpResponse:
    filters = _filters(request)
    events = events_of(organization_id=organization.pk, **filters)
    page = Paginator(events, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "organization": organization,
        "filters": filters,
        "is_filtered": any(filters.values()),
        "page_obj": page,
        "retention_days": settings.AUDIT_RETENTION_DAYS,
    }
    return render(request, "audit/events.html", context)


@scoped(Organization, "organization.audit.view", by="slug")
@require_POST
def export_audit(request: HttpRequest, organization: Organization) -> HttpResponseBase:
    lines = export_events(
        actor=person_of(request),
        organization_id=organization.pk,
        organization_name=organization.name,
        filters=_filters(request),
    )
    name = f"audit-{organization.slug}-{timezone.now():%Y-%m-%d}.ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)


def _filters(request: HttpRequest) -> dict[str, str]:
    """Read the filters from the address, where the export has them too."""
    return {key: request.GET.get(key, "").strip()[:100] for key in FILTERS}
