from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from apps.accounts.request_user import request_user
from apps.core.web.gates import signed_in_only
from apps.core.web.htmx import is_fragment
from apps.portal.home.overview import deployments_seen, pins_of, recent_deployments
from apps.portal.home.recents import recent_ids
from apps.portal.search.actions import own_actions, place_actions
from apps.portal.search.queries import KINDS, Asked, search

LONGEST = 100
ON_PAGE, IN_PALETTE = 20, 5
A_PAGE = 50
MOST_RECENT = 6


@signed_in_only
@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """The page of search, and as a fragment the results of the palette."""
    asked = Asked(
        text=request.GET.get("q", "").strip()[:LONGEST],
        user=request_user(request),
        recent={scope: recent_ids(request.session, scope) for scope in ("deployment", "workspace")},
    )
    if is_fragment(request):
        response = render(request, "portal/search/_palette.html", _palette(asked))
    else:
        response = render(request, "portal/search/search.html", _page(request, asked))
    patch_vary_headers(response, ["HX-Request"])
    return response


def _palette(asked: Asked) -> dict[str, Any]:
    if not asked.text:
        seen = deployments_seen(user=asked.user, organization=None)
        return {
            "recent": recent_deployments(asked.recent["deployment"][:MOST_RECENT], seen=seen),
            "pins": pins_of(user=asked.user, limit=MOST_RECENT),
            "actions": own_actions(),
        }
    return {
        "text": asked.text,
        "hits": search(asked=asked, limit=IN_PALETTE),
        "actions": _actions(asked),
    }


def _actions(asked: Asked) -> list[Any]:
    places = place_actions(user=asked.user, text=asked.text, recent=asked.recent)
    return [*places, *own_actions(asked.text)]


def _page(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    kind = KINDS.get(request.GET.get("kind", ""))
    context = {"text": asked.text, "kind": kind, "kinds": KINDS.values()}
    if not asked.text:
        return context
    if kind is None:
        hits = search(asked=asked, limit=ON_PAGE)
        return context | {"hits": hits, "actions": _actions(asked)}
    page = Paginator(kind.find(asked), A_PAGE).get_page(request.GET.get("page"))
    return context | {"page_obj": page, "rows": [kind.hit_of(row) for row in page]}
