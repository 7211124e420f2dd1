from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages, errors_shown_in, form_page, is_submitted
from apps.organizations.models import Organization
from apps.status_pages.manage.forms import SettingsForm
from apps.status_pages.manage.parts import MANAGE, address, common, page_of
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.setup.services import save_page, switch_page


@scoped(Organization, MANAGE, by="slug")
@require_http_methods(["GET", "HEAD", "POST"])
def page_settings(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show and change the settings; the first time they create the page, switched off."""
    page = StatusPage.objects.filter(organization=organization).first()
    posted = request.POST if request.method == "POST" else None
    form = SettingsForm(posted, organization=organization, page=page)
    if is_submitted(request, form):
        with errors_shown_in(form):
            save_page(
                actor=request_user(request),
                organization=organization,
                data=form.page_data(),
                channels=list(form.cleaned_data.get("channels", ())),
                now=timezone.now(),
            )
            words = "Settings saved." if page else "Status page created. Add components next."
            messages.success(request, words)
            return redirect(address(organization, "settings" if page else "overview"))
    context = common(request, organization, page, "settings") | {"form": form}
    return form_page(request, "status_pages/manage/settings.html", context, form)


@scoped(Organization, MANAGE, by="slug")
@require_POST
def switch(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Switch the page on or off, whichever it is not."""
    page = page_of(organization)
    is_on = request.POST.get("to") == "on"
    with errors_as_messages(request):
        switch_page(actor=request_user(request), page=page, is_on=is_on, now=timezone.now())
        words = "The page is on. Visitors see it within seconds." if is_on else "The page is off."
        messages.success(request, words)
    return redirect(address(organization, "overview"))
