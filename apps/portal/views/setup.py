from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts.models import SignInLink
from apps.accounts.queries import has_operator, usable_link
from apps.accounts.services import LinkUnusable
from apps.accounts.sign_in.start import refusal_of, start_session
from apps.core.errors import PortalError
from apps.core.web.form_pages import form_page, is_submitted
from apps.core.web.forms import add_error
from apps.core.web.gates import keeps_address_private, open_to_all
from apps.portal.forms import SetUpForm
from apps.portal.services import set_up, sign_in_by_link


@open_to_all
@keeps_address_private
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest, token: str) -> HttpResponse:
    link = usable_link(token=token)
    if link is None or (link.user is None and has_operator()):
        return render(request, "portal/link_unusable.html", status=410)
    if link.user is not None:
        return _sign_in(request, link, token)
    return _set_up(request, token)


def _sign_in(request: HttpRequest, link: SignInLink, token: str) -> HttpResponse:
    if request.method != "POST":
        return render(request, "portal/sign_in_by_link.html", {"person": link.user})
    bypasses = link.bypasses_single_sign_on
    # Asked before the link is spent: it still works after the bypass link has been opened.
    if link.user is not None and link.user.is_active:
        refusal = refusal_of(request, link.user, bypasses_single_sign_on=bypasses)
        if refusal is not None:
            return refusal
    try:
        person = sign_in_by_link(token=token)
    except LinkUnusable:
        return render(request, "portal/link_unusable.html", status=410)
    refusal = start_session(request, person, bypasses_single_sign_on=bypasses)
    return refusal or redirect("portal:home")


def _set_up(request: HttpRequest, token: str) -> HttpResponse:
    form = SetUpForm(request.POST or None)
    if is_submitted(request, form):
        try:
            owner, workspace = set_up(token=token, **form.cleaned_data)
        except LinkUnusable:
            return render(request, "portal/link_unusable.html", status=410)
        except PortalError as error:
            add_error(form, error)
        else:
            refusal = start_session(request, owner)
            return refusal or redirect("portal:workspace", slug=workspace.slug)
    return form_page(request, "portal/setup.html", {"form": form}, form)
