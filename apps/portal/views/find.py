from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.accounts.request_user import request_user
from apps.core.gates import signed_in_only
from apps.portal.queries import search

LONGEST = 100


@signed_in_only
@require_safe
def find(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:LONGEST]
    hits = search(text=text, user=request_user(request)) if text else None
    return render(request, "portal/search.html", {"text": text, "hits": hits})
