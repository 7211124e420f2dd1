import json
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.request_user import request_user
from apps.core.web.gates import signed_in_only
from apps.portal.support.diagnostics import LONGEST_ID, diagnostics


@signed_in_only
@require_safe
def support(request: HttpRequest) -> HttpResponse:
    """Show whom to ask, and what to send; `request` in the address is the id of an error page."""
    request_id = _request_id(request)
    context = {
        "request_id": request_id,
        "query": f"?request={quote(request_id)}" if request_id else "",
        **_operator(request_id),
    }
    return render(request, "portal/support.html", context)


@signed_in_only
@never_cache
@require_safe
def download(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    found = diagnostics(
        user=request_user(request),
        request_id=_request_id(request),
        user_agent=request.headers.get("User-Agent", ""),
        now=now,
    )
    return HttpResponse(
        json.dumps(found, indent=2) + "\n",
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="portal-{now:%Y%m%d-%H%M%S}.json"'},
    )


def _operator(request_id: str) -> dict[str, Any]:
    """Return where the operator is reached: a tracker, or an email address."""
    address = settings.SUPPORT
    if address.startswith("https://"):
        return {"tracker_url": address, "mail_url": "", "address": address}
    subject = f"Astro Portal {settings.VERSION}: problem {request_id}".strip()
    mail_url = f"mailto:{address}?subject={quote(subject)}" if address else ""
    return {"tracker_url": "", "mail_url": mail_url, "address": address}


def _request_id(request: HttpRequest) -> str:
    """Return the id in the address, without what no id has."""
    given = request.GET.get("request", "")[:LONGEST_ID]
    return "".join(one for one in given if one.isascii() and (one.isalnum() or one in "-_"))
