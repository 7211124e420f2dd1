from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_shown_in, form_page, is_submitted
from apps.deployments.models import Phase
from apps.organizations.models import Organization
from apps.status_pages.manage.forms import ComponentForm
from apps.status_pages.manage.parts import MANAGE, address, common, page_of
from apps.status_pages.setup import services
from apps.status_pages.setup.models import Component, StatusPage
from apps.status_pages.setup.states import TONES


@scoped(Organization, MANAGE, by="slug")
@require_safe
def components(request: HttpRequest, organization: Organization) -> HttpResponse:
    page = page_of(organization)
    rows = page.components.select_related("cluster").prefetch_related("deployments__workspace")
    context = common(request, organization, page, "components") | {
        "rows": [_row(one, organization) for one in rows.order_by("position", "pk")],
        "new_url": address(organization, "new_component"),
    }
    return render(request, "status_pages/manage/components.html", context)


def _row(component: Component, organization: Organization) -> dict[str, object]:
    return {
        "component": component,
        "tone": TONES[component.state],
        "read_from": _read_from(component),
        "url": address(organization, "component", component.pk),
        "move_url": address(organization, "move_component", component.pk),
    }


def _read_from(component: Component) -> str:
    if component.source == Component.Source.PORTAL:
        return "This portal"
    if component.source == Component.Source.CLUSTER:
        cluster = component.cluster
        is_there = cluster is not None and cluster.removed_at is None
        return f"Cluster {cluster}" if is_there else "A cluster that was removed"
    there = [one for one in component.deployments.all() if one.phase == Phase.ACTIVE]
    gone = len(component.deployments.all()) - len(there)
    names = [f"{one} in {one.workspace}" for one in there]
    if gone:
        names.append(f"{gone} deleted")
    return ", ".join(names) or "No Deployment"


@scoped(Organization, MANAGE, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def new_component(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _form(request, organization, page_of(organization), None)


@scoped(Organization, MANAGE, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def component(request: HttpRequest, organization: Organization, component_id: int) -> HttpResponse:
    page = page_of(organization)
    return _form(request, organization, page, _found(page, component_id))


def _form(
    request: HttpRequest,
    organization: Organization,
    page: StatusPage,
    found: Component | None,
) -> HttpResponse:
    user = request_user(request)
    posted = request.POST if request.method == "POST" else None
    form = ComponentForm(posted, page=page, component=found, user=user)
    if is_submitted(request, form):
        with errors_shown_in(form):
            saved = services.save_component(
                actor=user,
                page=page,
                component=found,
                data=form.component_data(),
                now=timezone.now(),
            )
            messages.success(request, f"Component {saved.name} saved.")
            return redirect(address(organization, "components"))
    context = common(request, organization, page, "") | {
        "form": form,
        "component": found,
        "delete_url": address(organization, "delete_component", found.pk) if found else "",
    }
    return form_page(request, "status_pages/manage/component.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@require_POST
def move(request: HttpRequest, organization: Organization, component_id: int) -> HttpResponse:
    found = _found(page_of(organization), component_id)
    is_up = request.POST.get("to") == "up"
    services.move_component(component=found, is_up=is_up, now=timezone.now())
    return redirect(address(organization, "components"))


@scoped(Organization, MANAGE, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, organization: Organization, component_id: int) -> HttpResponse:
    page = page_of(organization)
    found = _found(page, component_id)
    if request.method == "POST":
        services.delete_component(actor=request_user(request), component=found, now=timezone.now())
        messages.success(request, f"Component {found.name} deleted.")
        return redirect(address(organization, "components"))
    context = common(request, organization, page, "") | {
        "component": found,
        "back_url": address(organization, "component", found.pk),
    }
    return render(request, "status_pages/manage/delete.html", context)


def _found(page: StatusPage, component_id: int) -> Component:
    return get_object_or_404(page.components.select_related("cluster"), pk=component_id)
