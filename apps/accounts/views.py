from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.forms import ProfileForm
from apps.accounts.models import OutgoingMail
from apps.accounts.request_user import request_user
from apps.accounts.services import update_profile
from apps.core.web.form_pages import is_submitted
from apps.core.web.gates import open_to_all, operator_only, signed_in_only

PAGE_SIZE = 20
YEAR = 365 * 24 * 3600


@signed_in_only
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    initial = {
        "name": person.name,
        "time_zone": person.time_zone,
        "theme": request.COOKIES.get("theme", "device"),
    }
    form = ProfileForm(request.POST or None, initial=initial)
    if is_submitted(request, form):
        theme = form.cleaned_data.pop("theme")
        update_profile(user=person, **form.cleaned_data)
        messages.success(request, "Saved.")
        return _with_theme(redirect("accounts:profile"), theme)
    status = 422 if form.errors else 200
    return render(request, "accounts/profile.html", {"form": form}, status=status)


def _with_theme(response: HttpResponse, theme: str) -> HttpResponse:
    """Store the theme in the cookie that the theme button also writes."""
    if theme in ("light", "dark"):
        response.set_cookie("theme", theme, max_age=YEAR, samesite="Lax", secure=settings.IS_TLS)
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response


@operator_only
@never_cache
@require_safe
def mail(request: HttpRequest) -> HttpResponse:
    rows = OutgoingMail.objects.order_by("-id")
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "accounts/mail.html", {"page_obj": page})


@open_to_all
def closed(request: HttpRequest, key: str = "") -> HttpResponse:
    """Stand in for pages of the account library that the portal does not offer."""
    raise Http404
