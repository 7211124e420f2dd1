from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.access.scoped import scoped
from apps.accounts.request_user import request_user
from apps.organizations.models import Organization
from apps.status_pages.manage.parts import MANAGE, address, common, page_of
from apps.status_pages.subscriptions import services

PAGE_SIZE = 40
MOST_SEARCHED = 254


@scoped(Organization, MANAGE, by="slug")
@require_safe
def subscribers(request: HttpRequest, organization: Organization) -> HttpResponse:
    status_page = page_of(organization)
    search = request.GET.get("q", "").strip()[:MOST_SEARCHED]
    rows = status_page.subscribers.select_related("receiver").prefetch_related("components")
    rows = rows.order_by("-created_at", "-pk")
    if search:
        rows = rows.filter(Q(email__icontains=search) | Q(receiver__host__icontains=search))
    counts = status_page.subscribers.aggregate(
        confirmed=Count("pk", filter=Q(confirmed_at__isnull=False)), asked=Count("pk")
    )
    shown = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = common(request, organization, status_page, "subscribers") | {
        "search": search,
        "shown": shown,
        "confirmed": counts["confirmed"],
        "waiting": counts["asked"] - counts["confirmed"],
        "rows": [
            {
                "subscriber": one,
                "components": ", ".join(str(part) for part in one.components.all()),
                "remove_url": address(organization, "remove_subscriber", one.pk),
            }
            for one in shown.object_list
        ],
    }
    return render(request, "status_pages/manage/subscribers.html", context)


@scoped(Organization, MANAGE, by="slug")
@require_POST
def remove(request: HttpRequest, organization: Organization, subscriber_id: int) -> HttpResponse:
    status_page = page_of(organization)
    found = get_object_or_404(status_page.subscribers.select_related("page"), pk=subscriber_id)
    services.remove(actor=request_user(request), subscriber=found)
    messages.success(request, "Subscriber removed.")
    return redirect(address(organization, "subscribers"))
