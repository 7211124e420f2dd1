from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.accounts.models import SignInLink, User
from apps.accounts.queries import has_operator, usable_link
from apps.accounts.services import LinkUnusable, use_sign_in_link
from apps.core.errors import PortalError
from apps.core.forms import blame
from apps.core.gates import open_to_all
from apps.portal.forms import SetUpForm
from apps.portal.services import set_up

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@open_to_all
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
    try:
        person = use_sign_in_link(token=token).user
    except LinkUnusable:
        return render(request, "portal/link_unusable.html", status=410)
    if person is None or not person.is_active:
        return render(request, "portal/link_unusable.html", status=410)
    return _enter(request, person)


def _set_up(request: HttpRequest, token: str) -> HttpResponse:
    form = SetUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            owner, workspace = set_up(token=token, **form.cleaned_data)
        except LinkUnusable:
            return render(request, "portal/link_unusable.html", status=410)
        except PortalError as error:
            blame(form, error)
        else:
            login(request, owner, backend=BACKEND)
            return redirect("portal:workspace", slug=workspace.slug)
    return render(request, "portal/setup.html", {"form": form}, status=422 if form.errors else 200)


def _enter(request: HttpRequest, person: User) -> HttpResponse:
    login(request, person, backend=BACKEND)
    return redirect("portal:home")
