from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from apps.access.catalogue import BUILT_IN_ROLES, PERMISSIONS, SCOPES, Scope
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


@scoped(Organization, "organization.view", by="slug")
@require_safe
def roles(request: HttpRequest, organization: Organization) -> HttpResponse:
    tables = [_table(scope) for scope in SCOPES]
    context = {"organization": organization, "tables": tables}
    return render(request, "access/roles.html", context)


def _table(scope: Scope) -> dict[str, Any]:
    """Lay out what each role of a scope may do; below an organization only its owner has any."""
    roles = [role for role in BUILT_IN_ROLES if role.scope == scope]
    shown = [
        (key, action)
        for key, action in PERMISSIONS.items()
        if any(key in role.permissions for role in roles)
        and (scope != "organization" or key.startswith("organization."))
    ]
    columns = [{"label": _short(role.name), "description": role.description} for role in roles]
    rows = [
        {
            "action": action,
            "cells": [
                {"role": _short(role.name), "allowed": key in role.permissions} for role in roles
            ],
        }
        for key, action in shown
    ]
    return {"scope": scope, "columns": columns, "rows": rows}


def _short(name: str) -> str:
    """Leave out the scope, which stands above the table: "Workspace Owner" is "Owner"."""
    return name.partition(" ")[2]
