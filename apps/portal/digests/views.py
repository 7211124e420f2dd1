from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from apps.accounts.request_user import request_user
from apps.core.web.form_pages import form_page, is_submitted
from apps.core.web.gates import keeps_address_private, open_to_all, signed_in_only
from apps.portal.digests.services import choose_digest, end_digest
from apps.portal.models import Digest

HOURS = [(hour, f"{hour:02}:00") for hour in range(24)]


class DigestForm(forms.Form):
    period = forms.ChoiceField(
        label="Send a digest",
        required=False,
        choices=[("", "Never"), *Digest.Period.choices],
        widget=forms.RadioSelect,
    )
    hour = forms.TypedChoiceField(
        label="At", coerce=int, choices=HOURS, help_text="In your time zone."
    )


@signed_in_only
@require_http_methods(["GET", "HEAD", "POST"])
def digest(request: HttpRequest) -> HttpResponse:
    person = request_user(request)
    stored = Digest.objects.filter(user=person).first()
    initial = {"period": stored.period, "hour": stored.hour} if stored else {"hour": 7}
    form = DigestForm(request.POST if request.method == "POST" else None, initial=initial)
    if is_submitted(request, form):
        choose_digest(user=person, now=timezone.now(), **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("portal:digest")
    return form_page(request, "portal/digests/digest.html", {"form": form, "digest": stored}, form)


@open_to_all
# A mail program posts without a session. The key in the address is all that is asked for.
@csrf_exempt
@never_cache
@keeps_address_private
@require_http_methods(["GET", "HEAD", "POST"])
def end(request: HttpRequest, digest_key: UUID) -> HttpResponse:
    """End a digest. Programs that follow links in mails end nothing: it takes a POST."""
    is_over = request.method == "POST"
    if is_over:
        end_digest(key=digest_key)
    return render(request, "portal/digests/end.html", {"is_over": is_over})
