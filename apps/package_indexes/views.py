"""The pages of an organization, a workspace and a Deployment are alike."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import (
    STALE,
    fresh_sign_in,
    fresh_sign_in_first,
    is_sign_in_fresh,
)
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from apps.package_indexes import services
from apps.package_indexes.forms import IndexForm
from apps.package_indexes.models import PackageIndex
from apps.package_indexes.queries import Place, indexes_above, indexes_of

PREFIXES = {"organization": "", "workspace": "workspace_", "deployment": "deployment_"}


def address(place: Place, page: str, *arguments: object) -> str:
    """Return the address of a page of an object."""
    name = f"package_indexes:{PREFIXES[type(place).access_scope]}{page}"
    by = place.ref if isinstance(place, Deployment) else place.slug
    return reverse(name, args=[by, *arguments])


def _indexes(request: HttpRequest, place: Place) -> HttpResponse:
    rows = [{"index": one, "url": address(place, "index", one.pk)} for one in indexes_of(place)]
    context = {
        **_common(place),
        "rows": rows,
        "above": [{"index": one, "where": _where(one)} for one in indexes_above(place)],
        "new_url": address(place, "new"),
    }
    return render(request, "package_indexes/indexes.html", context)


def _new(request: HttpRequest, place: Place) -> HttpResponse:
    form = IndexForm(request.POST if request.method == "POST" else None, index=None)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            made = services.add_index(
                actor=request_user(request), place=place, data=form.data_entered()
            )
            messages.success(request, f"Package index {made} added. Test it next.")
            return redirect(address(place, "index", made.pk))
    context = {**_common(place), "form": form}
    return form_page(request, "package_indexes/new_index.html", context, form)


def _index(request: HttpRequest, place: Place, index_id: int) -> HttpResponse:
    index = _found(place, index_id)
    form = IndexForm(request.POST if request.method == "POST" else None, index=index)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            services.change_index(
                actor=request_user(request), index=index, data=form.data_entered()
            )
            messages.success(request, "Saved.")
            return redirect(address(place, "index", index.pk))
    urls = {name: address(place, name, index.pk) for name in ("test", "remove")}
    context = {**_common(place), "index": index, "form": form, "urls": urls}
    return form_page(request, "package_indexes/index.html", context, form)


def _test(request: HttpRequest, place: Place, index_id: int) -> HttpResponse:
    index = _found(place, index_id)
    with errors_as_messages(request):
        messages.success(request, services.test_index(index=index))
    return redirect(address(place, "index", index.pk))


def _remove(request: HttpRequest, place: Place, index_id: int) -> HttpResponse:
    index = _found(place, index_id)
    services.remove_index(actor=request_user(request), index=index)
    messages.success(request, f"Package index {index} removed.")
    return redirect(address(place, "list"))


def _is_good(request: HttpRequest, form: IndexForm) -> bool:
    """Refuse a stale sign-in in the form: what was posted holds a secret and is not kept."""
    if not is_sign_in_fresh(request):
        form.add_error(None, STALE)
    return form.is_valid()


def _common(place: Place) -> dict[str, Any]:
    return {
        "place": place,
        "deployment": place if isinstance(place, Deployment) else None,
        "list_url": address(place, "list"),
    }


def _where(index: PackageIndex) -> str:
    return f"Of the {type(index.place).access_scope} {index.place}"


def _found(place: Place, index_id: int) -> PackageIndex:
    return get_object_or_404(indexes_of(place), pk=index_id)


indexes = require_safe(_indexes)
_form = require_http_methods(["GET", "HEAD", "POST"])
new = fresh_sign_in_first(sensitive_post_parameters("password")(_form(_new)))
index = fresh_sign_in_first(sensitive_post_parameters("password")(_form(_index)))
test = fresh_sign_in(require_POST(_test))
remove = fresh_sign_in(require_POST(_remove))

_of_organization = scoped(Organization, "organization.update", by="slug")
organization_indexes = _of_organization(indexes)
organization_new = _of_organization(new)
organization_index = _of_organization(index)
organization_test = _of_organization(test)
organization_remove = _of_organization(remove)

_of_workspace = scoped(Workspace, "workspace.update", by="slug")
workspace_indexes = _of_workspace(indexes)
workspace_new = _of_workspace(new)
workspace_index = _of_workspace(index)
workspace_test = _of_workspace(test)
workspace_remove = _of_workspace(remove)

_of_deployment = scoped(Deployment, "deployment.update", by="ref")
deployment_indexes = _of_deployment(indexes)
deployment_new = _of_deployment(new)
deployment_index = _of_deployment(index)
deployment_test = _of_deployment(test)
deployment_remove = _of_deployment(remove)
