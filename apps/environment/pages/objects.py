from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import STALE, fresh_sign_in_first, is_sign_in_fresh
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.deployments.models import Deployment
from apps.environment.delivery.trying import try_connection
from apps.environment.objects import services
from apps.environment.objects.backend_types import BACKEND_TYPES
from apps.environment.objects.connection_types import connection_types, type_called
from apps.environment.objects.models import TYPED, EnvironmentLink, EnvironmentObject, Kind
from apps.environment.objects.queries import deployments_in, objects_of
from apps.environment.objects.services import Place
from apps.environment.pages.forms import BackendForm, ConnectionForm, OverrideForm, VariableForm
from apps.environment.pages.parts import DEPLOY, address, on_deployment, on_workspace
from apps.organizations.models import Workspace

LONGEST_TYPE = 100
SAVED = {
    Kind.CONNECTION: "Tasks that begin from now on read it.",
    Kind.VARIABLE: "Tasks that begin from now on read it.",
    Kind.BACKEND: "Tasks that begin from now on look there, too.",
    Kind.ENVIRONMENT: "The Deployments that it reaches restart their processes.",
}


def _types(request: HttpRequest, place: Place) -> HttpResponse:
    kind = Kind.BACKEND if request.GET.get("kind") == Kind.BACKEND else Kind.CONNECTION
    context = _common(place) | {
        "types": tuple(BACKEND_TYPES.values()) if kind == Kind.BACKEND else connection_types(),
        "is_backend": kind == Kind.BACKEND,
        "kind_label": kind.label.lower(),
        "new_url": address(place, "new_object", kind),
    }
    return render(request, "environment/types.html", context)


def _new_object(request: HttpRequest, place: Place, kind: str) -> HttpResponse:
    if kind not in Kind.values:
        raise Http404
    type_key = request.GET.get("type", "").strip()[:LONGEST_TYPE]
    if kind in TYPED and not type_key:
        return redirect(f"{address(place, 'types')}?kind={kind}")
    if kind == Kind.BACKEND and type_key not in BACKEND_TYPES:
        raise Http404
    form = _form(request, place, kind, None, type_key)
    if is_submitted(request, form) and _is_confirmed(request, form):
        with errors_shown_in(form):
            made = services.create_object(
                actor=request_user(request), place=place, kind=kind, data=form.data_entered()
            )
            messages.success(request, f"{made.name} created. {SAVED[Kind(kind)]}")
            return redirect(address(place))
    return _form_page(request, place, form, Kind(kind), None)


def _environment_object(request: HttpRequest, place: Place, object_id: int) -> HttpResponse:
    found = _found(place, object_id)
    form = _form(request, place, found.kind, found, found.plain.get("type", ""))
    if is_submitted(request, form) and _is_confirmed(request, form):
        with errors_shown_in(form):
            services.update_object(
                actor=request_user(request), found=found, data=form.data_entered()
            )
            messages.success(request, f"{found.name} saved. {SAVED[Kind(found.kind)]}")
            return redirect(address(place))
    return _form_page(request, place, form, Kind(found.kind), found)


def _delete_object(request: HttpRequest, place: Place, object_id: int) -> HttpResponse:
    found = _found(place, object_id)
    if request.method == "POST":
        services.delete_object(actor=request_user(request), found=found)
        messages.success(request, f"{found.name} deleted.")
        return redirect(address(place))
    reached = _reached(found)
    context = _common(place) | {"found": found, "reached": reached[:10], "total": len(reached)}
    return render(request, "environment/delete.html", context)


def _override(request: HttpRequest, workspace: Workspace, object_id: int, ref: str) -> HttpResponse:
    found = _found(workspace, object_id)
    if found.kind == Kind.BACKEND:
        raise Http404
    deployment = get_object_or_404(deployments_in(workspace), ref=ref)
    link = EnvironmentLink.objects.filter(source=found, deployment=deployment).first()
    data = request.POST if request.method == "POST" else None
    form = OverrideForm(
        data, found=found, type_=type_called(found.plain.get("type", "")), link=link
    )
    if is_submitted(request, form) and _is_confirmed(request, form):
        with errors_shown_in(form):
            services.override_object(
                actor=request_user(request),
                found=found,
                deployment=deployment,
                value=form.value_entered(),
                forgotten=frozenset(form.cleaned_data.get("forgotten", ())),
            )
            messages.success(request, f"{found.name} saved for {deployment.name}.")
            return redirect(address(workspace, "object", found.pk))
    context = _common(workspace) | {
        "found": found,
        "deployment": deployment,
        "form": form,
        "back_url": address(workspace, "object", found.pk),
    }
    return form_page(request, "environment/override.html", context, form)


def _is_confirmed(request: HttpRequest, form: Any) -> bool:
    """Return whether the person signed in lately; if not, the form says so and keeps what is no
    secret.
    """
    if is_sign_in_fresh(request):
        return True
    form.add_error(None, STALE)
    return False


def _form(
    request: HttpRequest,
    place: Place,
    kind: str,
    found: EnvironmentObject | None,
    type_key: str,
) -> ConnectionForm | VariableForm:
    data = request.POST if request.method == "POST" else None
    deployments = deployments_in(place) if isinstance(place, Workspace) else None
    if kind == Kind.BACKEND:
        backend = BACKEND_TYPES[type_key]
        return BackendForm(data, type_=backend, found=found, deployments=deployments)
    if kind == Kind.CONNECTION:
        type_ = type_called(type_key)
        return ConnectionForm(data, type_=type_, found=found, deployments=deployments)
    return VariableForm(data, kind=kind, found=found, deployments=deployments)


def _form_page(
    request: HttpRequest,
    place: Place,
    form: ConnectionForm | VariableForm,
    kind: Kind,
    found: EnvironmentObject | None,
) -> HttpResponse:
    has_overrides = kind != Kind.BACKEND and isinstance(place, Workspace)
    reached = _reached(found) if found and has_overrides else []
    label = form.type_.name if isinstance(form, ConnectionForm) else ""
    context = _common(place) | {
        "form": form,
        "found": found,
        "kind": kind,
        "kind_label": kind.label.lower(),
        "type_label": label,
        "package": form.type_.package if isinstance(form, BackendForm) else "",
        "restarts": kind == Kind.ENVIRONMENT,
        "delete_url": address(place, "delete_object", found.pk) if found else "",
        "overrides": _overrides(place, found, reached) if found else [],
    }
    return form_page(request, "environment/object.html", context, form)


def _overrides(
    place: Place, found: EnvironmentObject, reached: list[Deployment]
) -> list[dict[str, Any]]:
    if not isinstance(place, Workspace):
        return []
    links = {link.deployment_id: link for link in found.links.all()}
    return [
        {
            "name": one.name,
            "url": address_of_override(place, found, one),
            "fields": links[one.pk].set_fields if one.pk in links else [],
        }
        for one in reached
    ]


def address_of_override(place: Workspace, found: EnvironmentObject, one: Deployment) -> str:
    """Return the page on which fields differ in one Deployment."""
    return f"{address(place, 'object', found.pk)}overrides/{one.ref}/"


def _reached(found: EnvironmentObject) -> list[Deployment]:
    if found.deployment is not None:
        return [found.deployment]
    links = {link.deployment_id: link for link in found.links.all()}
    return [
        one
        for one in deployments_in(found.workspace)
        if (not links[one.pk].is_excluded if one.pk in links else found.links_all)
    ]


def _found(place: Place, object_id: int) -> EnvironmentObject:
    rows = objects_of(place).select_related("workspace", "deployment", "updated_by")
    return get_object_or_404(rows, pk=object_id)


def _common(place: Place) -> dict[str, Any]:
    return {
        "place": place,
        "is_deployment": isinstance(place, Deployment),
        "list_url": address(place),
    }


@scoped(Deployment, DEPLOY, by="ref")
@require_POST
def test(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    """Try a connection. Hooks run what a connection says, so it takes the right to deploy code."""
    name = request.POST.get("name", "")[:250]
    with errors_as_messages(request):
        result = try_connection(actor=request_user(request), deployment=deployment, name=name)
        level = messages.SUCCESS if result.is_good else messages.WARNING
        messages.add_message(request, level, f"{name} {result.in_words}. {result.message}".strip())
    return redirect(address(deployment))


types = require_safe(_types)
new_object = require_http_methods(["GET", "HEAD", "POST"])(fresh_sign_in_first(_new_object))
environment_object = require_http_methods(["GET", "HEAD", "POST"])(
    fresh_sign_in_first(_environment_object)
)
delete_object = require_http_methods(["GET", "HEAD", "POST"])(_delete_object)

workspace_types = on_workspace(types)
workspace_new_object = on_workspace(new_object)
workspace_environment_object = on_workspace(environment_object)
workspace_delete_object = on_workspace(delete_object)
override = on_workspace(
    require_http_methods(["GET", "HEAD", "POST"])(fresh_sign_in_first(_override))
)

deployment_types = on_deployment(types)
deployment_new_object = on_deployment(new_object)
deployment_environment_object = on_deployment(environment_object)
deployment_delete_object = on_deployment(delete_object)
