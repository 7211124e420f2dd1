"""Which groups of an identity provider are which Teams."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import fresh_sign_in
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.sso.groups.forms import GroupForm
from apps.sso.groups.services import is_team_beyond, map_group, unmap_group
from apps.sso.models import GroupMapping

MANAGE = "organization.sso.manage"


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_http_methods(["GET", "HEAD", "POST"])
def groups(request: HttpRequest, organization: Organization, connection_key: str) -> HttpResponse:
    connection = get_object_or_404(organization.sso_connections, key=connection_key)
    form = GroupForm(request.POST or None, connection=connection)
    if is_submitted(request, form):
        with errors_shown_in(form):
            mapping = map_group(
                actor=request_user(request), connection=connection, **form.cleaned_data
            )
            messages.success(request, f"{mapping.team} mirrors {mapping.group} now.")
            return redirect("sso:groups", slug=organization.slug, connection_key=connection.key)
    teams = ("team__group", "team__organization")
    mappings = connection.group_mappings.select_related(*teams).order_by("group", "pk")
    context = {
        "organization": organization,
        "connection": connection,
        "form": form,
        "has_teams": organization.teams.exists(),
        "rows": [
            (mapping, is_team_beyond(connection=connection, team=mapping.team))
            for mapping in mappings
        ],
    }
    return form_page(request, "sso/groups/groups.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def unmap(
    request: HttpRequest, organization: Organization, connection_key: str, mapping_id: int
) -> HttpResponse:
    mapping = get_object_or_404(
        GroupMapping.objects.select_related("connection__organization", "team"),
        pk=mapping_id,
        connection__key=connection_key,
        connection__organization=organization,
    )
    unmap_group(actor=request_user(request), mapping=mapping)
    messages.success(request, f"{mapping.team} no longer mirrors {mapping.group}.")
    return redirect("sso:groups", slug=organization.slug, connection_key=connection_key)
