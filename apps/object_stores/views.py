from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
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
from apps.object_stores import services
from apps.object_stores.forms import StoreForm
from apps.object_stores.models import ObjectStore
from apps.object_stores.queries import store_for, stores_of
from apps.organizations.models import Organization

MANAGE = "organization.update"
WITHOUT = {
    ObjectStore.Use.BACKUPS: "Backups lie in a folder of the portal's machine.",
    ObjectStore.Use.STATUS_PAGE: "The portal serves the status page itself. "
    "A copy in a bucket stays up while the portal is down.",
}
TITLES = {
    ObjectStore.Use.BACKUPS: "Bucket for backups",
    ObjectStore.Use.STATUS_PAGE: "Bucket for the status page",
}


@scoped(Organization, MANAGE, by="slug")
@require_safe
def stores(request: HttpRequest, organization: Organization) -> HttpResponse:
    found = {one.use: one for one in stores_of(organization)}
    rows = [
        {"use": use, "title": use.label, "store": found.get(use), "without": WITHOUT[use]}
        for use in ObjectStore.Use
    ]
    context = {"organization": organization, "rows": rows}
    return render(request, "object_stores/stores.html", context)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in_first
@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def store(request: HttpRequest, organization: Organization, use: str) -> HttpResponse:
    """Name the bucket of a use, or change it."""
    chosen = _use(use)
    known = store_for(organization.pk, chosen)
    form = StoreForm(request.POST if request.method == "POST" else None, store=known)
    if request.method == "POST" and _is_good(request, form):
        with errors_shown_in(form):
            services.save_store(
                actor=request_user(request),
                organization=organization,
                use=chosen,
                data=form.data_entered(),
            )
            messages.success(request, "Bucket saved. Test it next.")
            return redirect("object_stores:list", organization.slug)
    context: dict[str, Any] = {
        "organization": organization,
        "form": form,
        "store": known,
        "title": TITLES[chosen],
        "is_public": chosen == ObjectStore.Use.STATUS_PAGE,
    }
    return form_page(request, "object_stores/store.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def test(request: HttpRequest, organization: Organization, use: str) -> HttpResponse:
    with errors_as_messages(request):
        messages.success(request, services.test_store(store=_known(organization, use)))
    return redirect("object_stores:list", organization.slug)


@scoped(Organization, MANAGE, by="slug")
@fresh_sign_in
@require_POST
def remove(request: HttpRequest, organization: Organization, use: str) -> HttpResponse:
    services.remove_store(actor=request_user(request), store=_known(organization, use))
    messages.success(request, "The bucket is used no longer. What lies there stays.")
    return redirect("object_stores:list", organization.slug)


def _is_good(request: HttpRequest, form: StoreForm) -> bool:
    """Refuse a stale sign-in in the form: what was posted holds a secret and is not kept."""
    if not is_sign_in_fresh(request):
        form.add_error(None, STALE)
    return form.is_valid()


def _use(use: str) -> ObjectStore.Use:
    if use not in ObjectStore.Use.values:
        raise Http404
    return ObjectStore.Use(use)


def _known(organization: Organization, use: str) -> ObjectStore:
    found = store_for(organization.pk, _use(use))
    if found is None:
        raise Http404
    return found
