from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods

from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.bulk_actions import services
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.models import ActionState, BulkAction, BulkItem, ItemState
from apps.bulk_actions.pages.parts import address, on_organization, on_workspace
from apps.bulk_actions.queries import actions_of, items_of, with_counts
from apps.bulk_actions.services import MAY_STOP, Place
from apps.core.web.form_pages import errors_as_messages
from apps.core.web.htmx import is_fragment, skip_unchanged

POLL_SECONDS = 3
PAGE_SIZE = 100
TONES = {
    ItemState.WAITING: "idle",
    ItemState.RUNNING: "move",
    ItemState.DONE: "good",
    ItemState.FAILED: "bad",
    ItemState.REFUSED: "warn",
    ItemState.SKIPPED: "idle",
}
PROBLEMS = (ItemState.FAILED, ItemState.REFUSED)
STEPS: dict[str, Callable[[User, BulkAction], Any]] = {
    "begin": lambda user, one: services.begin(actor=user, action=one),
    "stop": lambda user, one: services.stop(actor=user, action=one),
    "again": lambda user, one: services.resume(actor=user, action=one, skips_failed=False),
    "skip": lambda user, one: services.resume(actor=user, action=one, skips_failed=True),
    "finish": lambda user, one: services.finish(actor=user, action=one),
}


def _action(request: HttpRequest, place: Place, action_id: int) -> HttpResponse:
    """The preview of an action; once it was begun, its progress and what failed."""
    user = request_user(request)
    found = get_object_or_404(with_counts(actions_of(user=user, place=place)), pk=action_id)
    if request.method == "POST":
        return _take_step(request, user, place, found)
    is_live = found.state == ActionState.RUNNING and request.GET.get("live") != "off"
    rows = items_of(found, user=user)
    if request.GET.get("show") == "problems":
        rows = rows.filter(state__in=PROBLEMS)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "place": place,
        "action": found,
        "label": ACTIONS[found.kind].label,
        "parameters": _parameters(found),
        "page": page,
        "rows": [_row(one) for one in page.object_list],
        "tally": _tally(found),
        "n_problems": sum(getattr(found, str(state)) for state in PROBLEMS),
        "is_own": found.actor_id == user.pk,
        "may_stop": found.actor_id == user.pk or user.has_perm(MAY_STOP[type(place)], place),
        "is_live": is_live,
        "poll_seconds": POLL_SECONDS,
        "address": request.get_full_path(),
        "now": timezone.now(),
        "choose_url": address(place, "choose"),
    }
    name = "bulk_actions/_action.html" if is_fragment(request) else "bulk_actions/action.html"
    response = render(request, name, context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _take_step(request: HttpRequest, user: User, place: Place, found: BulkAction) -> HttpResponse:
    take = STEPS.get(request.POST.get("step", ""))
    if take is None:
        messages.error(request, "Choose one of the buttons.")
        return redirect(address(place, "action", found.pk))
    with errors_as_messages(request):
        take(user, found)
    if BulkAction.objects.filter(pk=found.pk).exists():
        return redirect(address(place, "action", found.pk))
    return redirect(address(place, "choose"))


def _parameters(action: BulkAction) -> list[tuple[str, str]]:
    fields = ACTIONS[action.kind].form.base_fields
    rows = [
        (str(fields[name].label or name.replace("_", " ").capitalize()), _in_words(value))
        for name, value in action.parameters.items()
    ]
    return [*rows, ("Value", "secret")] if action.parameters.get("is_secret") else rows


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:200]


def _row(item: BulkItem) -> dict[str, Any]:
    state = ItemState(item.state)
    return {"item": item, "tone": TONES[state], "word": state.label}


def _tally(action: Any) -> list[tuple[str, int]]:
    counts = {
        state: getattr(action, "running_items" if state == ItemState.RUNNING else str(state))
        for state in ItemState
    }
    return [(str(ItemState(state).label), count) for state, count in counts.items() if count]


action = require_http_methods(["GET", "HEAD", "POST"])(_action)
workspace_action, organization_action = on_workspace(action), on_organization(action)
