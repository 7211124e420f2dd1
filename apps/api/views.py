from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from apps.api.gates import by_token, scoped_by_token
from apps.deployments.models import Deployment, Phase
from apps.organizations.tokens.queries import Caller

PAGE_SIZE = 50


@by_token
def whoami(request: HttpRequest, caller: Caller) -> JsonResponse:
    token, place = caller.token, caller.place
    return JsonResponse(
        {
            "kind": "api_token",
            "name": token.name,
            "role": {"name": caller.role.name, "permissions": caller.role.permissions},
            "on": {
                "kind": token.scope,
                "name": str(place),
                "id": getattr(place, "ref", "") or place.slug,
            },
            "expires_at": token.expires_at,
        }
    )


@by_token
def deployments(request: HttpRequest, caller: Caller) -> JsonResponse:
    seen = Deployment.objects.visible_to(caller.user).exclude(phase=Phase.DELETED)
    seen = seen.select_related("workspace__organization").order_by("name", "pk")
    page = Paginator(seen, PAGE_SIZE).get_page(request.GET.get("page"))
    after = f"{request.path}?page={page.next_page_number()}" if page.has_next() else None
    return JsonResponse(
        {
            "deployments": [_deployment(one) for one in page],
            "count": page.paginator.count,
            "next": after,
        }
    )


@scoped_by_token(Deployment, "deployment.view", by="ref")
def deployment(request: HttpRequest, caller: Caller, found: Deployment) -> JsonResponse:
    return JsonResponse(_deployment(found))


def _deployment(found: Deployment) -> dict[str, Any]:
    return {
        "ref": found.ref,
        "name": found.name,
        "description": found.description,
        "workspace": found.workspace.slug,
        "organization": found.workspace.organization.slug,
        "phase": found.phase,
        "health": found.health,
        "health_message": found.health_message,
        "url": settings.PORTAL_URL + reverse("deployments:overview", args=[found.ref]),
    }
