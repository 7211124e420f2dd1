from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.request_user import request_user
from apps.alerts.evaluation.silent import end_of
from apps.alerts.pages.forms.silences import SilenceForm
from apps.alerts.pages.parts import (
    MANAGE_ORGANIZATION,
    MANAGE_WORKSPACE,
    PAGE_SIZE,
    address,
    common,
    on_organization,
    on_workspace,
    search_in,
)
from apps.alerts.pages.queries import deployments_to_choose, silences_of
from apps.alerts.pages.words import days_in_words
from apps.alerts.places import Place
from apps.alerts.silences.models import Silence
from apps.alerts.silences.services import begin_silence, end_silence
from apps.core.web.form_pages import form_page, is_submitted


def _silences(request: HttpRequest, place: Place) -> HttpResponse:
    user, now = request_user(request), timezone.now()
    form = SilenceForm(
        request.POST if request.method == "POST" else None,
        place=place,
        deployments=deployments_to_choose(place=place, user=user),
    )
    if is_submitted(request, form):
        begin_silence(actor=user, silence=form.filled())
        messages.success(request, "Silence created.")
        return redirect(address(place, "silences"))
    search = search_in(request)
    page = Paginator(silences_of(place, search), PAGE_SIZE).get_page(request.GET.get("page"))
    context = common(request, place, "silences") | {
        "form": form,
        "page": page,
        "search": search,
        "rows": [_row(one, place, now) for one in page.object_list],
    }
    return form_page(request, "alerts/silences/silences.html", context, form)


def _row(silence: Silence, place: Place, now: datetime) -> dict[str, Any]:
    until = end_of(silence, now)
    is_over = silence.ended_at is not None or (not silence.weekdays and silence.ends_at <= now)
    return {
        "silence": silence,
        "until": until,
        "is_over": is_over,
        "days": days_in_words(silence.weekdays),
        "lasts": (silence.ends_at - silence.begins_at).total_seconds(),
        "end_url": address(place, "end_silence", silence.pk),
    }


def _end(request: HttpRequest, place: Place, silence_id: int) -> HttpResponse:
    silence = get_object_or_404(silences_of(place), pk=silence_id, ended_at=None)
    end_silence(actor=request_user(request), silence=silence, now=timezone.now())
    messages.success(request, "Silence ended. What is still wrong is told now.")
    return redirect(address(place, "silences"))


silences = require_http_methods(["GET", "HEAD", "POST"])(_silences)
end = require_POST(_end)

organization_silences = on_organization(MANAGE_ORGANIZATION)(silences)
organization_end_silence = on_organization(MANAGE_ORGANIZATION)(end)
workspace_silences = on_workspace(MANAGE_WORKSPACE)(silences)
workspace_end_silence = on_workspace(MANAGE_WORKSPACE)(end)
