from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.request_user import request_user
from apps.accounts.sessions.services import STALE, fresh_sign_in_first, is_sign_in_fresh
from apps.bulk_actions.actions.catalogue import ACTIONS
from apps.bulk_actions.pages.forms import RunForm
from apps.bulk_actions.pages.parts import address, on_organization, on_workspace
from apps.bulk_actions.queries import Filter, actions_of, candidates, with_counts
from apps.bulk_actions.services import MOST_ITEMS, Place, prepare
from apps.core.web.form_pages import errors_shown_in, form_page
from apps.deployments.configuration.options import EXECUTORS
from apps.organizations.models import Organization
from apps.runtimes.catalogue import runtimes

SHOWN = 20


def _choose(request: HttpRequest, place: Place) -> HttpResponse:
    """Choose Deployments by a filter, and what to do with them; the latest actions below."""
    user = request_user(request)
    wanted = Filter.from_query(request.GET.dict())
    found = candidates(user=user, place=place, wanted=wanted)
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    recent = with_counts(actions_of(user=user, place=place))[:SHOWN]
    context = _common(place) | {
        "wanted": wanted,
        "count": found.count(),
        "names": [one.name for one in found[:SHOWN]],
        "runtimes": [runtime.version for runtime in runtimes()],
        "executors": EXECUTORS,
        "choices": [
            {
                "label": one.label,
                "hint": one.hint,
                "url": f"{address(place, 'new', one.key)}{query}",
            }
            for one in ACTIONS.values()
        ],
        "recent": [
            {
                "action": one,
                "label": ACTIONS[one.kind].label,
                "url": address(place, "action", one.pk),
            }
            for one in recent
        ],
    }
    return render(request, "bulk_actions/choose.html", context)


def _new(request: HttpRequest, place: Place, kind: str) -> HttpResponse:
    """Enter what to set and tick Deployments; the next page is the preview."""
    if kind not in ACTIONS:
        raise Http404
    user, action = request_user(request), ACTIONS[kind]
    wanted = Filter.from_query(request.GET.dict())
    found = list(candidates(user=user, place=place, wanted=wanted)[: MOST_ITEMS + 1])
    data = request.POST if request.method == "POST" else None
    form = action.form(data)
    run = RunForm(data, found=found, shows_workspace=isinstance(place, Organization))
    if request.method == "POST" and all([form.is_valid(), run.is_valid()]):
        if not is_sign_in_fresh(request):
            run.add_error(None, STALE)
        else:
            with errors_shown_in(run):
                chosen = set(run.cleaned_data["deployments"])
                made = prepare(
                    actor=user,
                    place=place,
                    kind=kind,
                    parameters=form.data,
                    deployments=[one for one in found if one.pk in chosen],
                    at_once=run.cleaned_data["at_once"],
                    stops_on_failure=run.cleaned_data["stops_on_failure"],
                )
                return redirect(address(place, "action", made.pk))
    context = _common(place) | {
        "action": action,
        "form": form,
        "run": run,
        "count": len(found),
        "most": MOST_ITEMS,
        "back_url": address(place, "choose"),
    }
    return form_page(request, "bulk_actions/new.html", context, form if form.errors else run)


def _common(place: Place) -> dict[str, Any]:
    return {"place": place, "is_organization": isinstance(place, Organization)}


choose = require_safe(_choose)
new = require_http_methods(["GET", "HEAD", "POST"])(fresh_sign_in_first(_new))

workspace_choose, organization_choose = on_workspace(choose), on_organization(choose)
workspace_new, organization_new = on_workspace(new), on_organization(new)
