from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.access.catalogue import BUILT_IN_ROLES, PERMISSIONS, SCOPES, Scope
from apps.access.scoped import scoped
from apps.audit.queries import events_of
from apps.organizations.models import Organization

PAGE_SIZE = 50
FILTERS = ("actor", "action", "target")


@scoped(Organization, "organization.audit.view", by="slug")
@require_safe
def audit(request: HttpRequest, organization: Organization) -> HttpResponse:
    filters = {key: request.GET.get(key, "").strip()[:100] for key in FILTERS}
    events = events_of(organization_id=organization.pk, **filters)
    page = Paginator(events, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "organization": organization,
        "filters": filters,
        "is_filtered": any(filters.values()),
        "page_obj": page,
    }
    return render(request, "audit/events.html", context)


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
