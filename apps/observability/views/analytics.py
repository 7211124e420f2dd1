from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.access.scoped import scoped
from apps.deployments.models import Deployment
from apps.observability.analytics.pages import Analytics, analytics_of, csv_of, points_of
from apps.observability.analytics.ranges import RANGES, Range, range_of, written

SEE = "deployment.view"
REFRESH_SECONDS = 30
# After this time without an answer the page says so.
LATE_SECONDS = 150


@scoped(Deployment, SEE, by="ref")
@require_safe
def analytics(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    now = timezone.now()
    found = _found(request, deployment, now)
    context = {
        "deployment": deployment,
        "found": found,
        "now": now,
        "ranges": [(key, label, key == found.range.key) for key, (label, _) in RANGES.items()],
        "from": written(found.range.begin),
        "to": written(found.range.end),
        "is_live": bool(found.range.key) and request.GET.get("live") != "off",
        "seconds": REFRESH_SECONDS,
        "late": _late(found, now),
        "scaling_url": _scaling_url(deployment, found),
    }
    return render(request, "observability/analytics/analytics.html", context)


@scoped(Deployment, SEE, by="ref")
@require_safe
def points(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    found = _found(request, deployment, timezone.now())
    return JsonResponse(points_of(found), json_dumps_params={"separators": (",", ":")})


@scoped(Deployment, SEE, by="ref")
@require_safe
def download(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    found = _found(request, deployment, timezone.now())
    disposition = f'attachment; filename="{deployment.ref}-analytics.csv"'
    return HttpResponse(
        csv_of(found),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": disposition},
    )


def _found(request: HttpRequest, deployment: Deployment, now: datetime) -> Analytics:
    shown: Range = range_of(request.GET.dict(), now=now)
    return analytics_of(deployment=deployment, shown=shown)


def _scaling_url(deployment: Deployment, found: Analytics) -> str:
    page = reverse("observability:scaling", args=[deployment.ref])
    return f"{page}?{found.range.query}" if found.has_queues else ""


def _late(found: Analytics, now: datetime) -> dict[str, Any] | None:
    """Return what is wrong with collecting, None if nothing is."""
    collection = found.collection
    if collection is None:
        return None
    at = collection.answered_at
    is_late = at is not None and (now - at).total_seconds() > LATE_SECONDS
    if not collection.last_error and not is_late:
        return None
    return {"problem": collection.last_error, "answered_at": at, "is_late": is_late or at is None}
