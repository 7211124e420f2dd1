from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from apps.access.queries import denial_for
from apps.accounts.request_user import request_user
from apps.alerts.evaluation.matched import Matched, matched_by_each
from apps.alerts.evaluation.models import Alert
from apps.alerts.pages.parts import (
    PAGE_SIZE,
    address,
    common,
    on_organization,
    on_workspace,
    permission_in,
    search_in,
)
from apps.alerts.pages.queries import (
    alerts_in,
    deployments_to_choose,
    failing_channels,
    inherited_count,
    rules_of,
    week_of,
)
from apps.alerts.pages.words import (
    is_of_no_dag,
    matches_in_words,
    subjects_in_words,
    what_in_words,
    where_in_words,
)
from apps.alerts.places import Place
from apps.alerts.rules.models import Rule
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.observability.incidents.kinds import Severity
from apps.observability.incidents.queries import TONES
from apps.organizations.models import Workspace

POLL_SECONDS, MOST_OPEN = 20, 20


def _overview(request: HttpRequest, place: Place) -> HttpResponse:
    user, now = request_user(request), timezone.now()
    alerts = alerts_in(place=place, user=user)
    opened = list(alerts.filter(closed_at=None)[: MOST_OPEN + 1])
    context = common(request, place, "overview") | {
        "open": [_alert(one) for one in opened[:MOST_OPEN]],
        "has_more_open": len(opened) > MOST_OPEN,
        "now": now,
        "poll_seconds": POLL_SECONDS,
        "address": request.get_full_path(),
        "is_live": request.GET.get("live") != "off",
    }
    if is_fragment(request):
        response = render(request, "alerts/overview/_open.html", context)
    else:
        context |= _rules(request, place)
        response = render(request, "alerts/overview/overview.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _rules(request: HttpRequest, place: Place) -> dict[str, Any]:
    user, now = request_user(request), timezone.now()
    search = search_in(request)
    rules = rules_of(place=place, user=user, search=search)
    page = Paginator(rules, PAGE_SIZE).get_page(request.GET.get("page"))
    found = list(page.object_list)
    each = matched_by_each(found, seen=deployments_to_choose(place=place, user=user))
    recent = alerts_in(place=place, user=user).exclude(closed_at=None)[:10]
    above = place.organization if isinstance(place, Workspace) else None
    return {
        "page": page,
        "search": search,
        "rules": [_rule(one, matched, place) for one, matched in zip(found, each, strict=True)],
        "recent": [_alert(one) for one in recent],
        "week": week_of(place=place, user=user, now=now),
        "failing": failing_channels(place)[:3],
        "inherited": inherited_count(place),
        "inherited_url": address(above, "overview") if above else "",
        "organization": above or place,
        "denial": denial_for(user=user, permission=permission_in(place), on=place),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert,
        "tone": TONES[Severity(alert.rule.severity)],
        "title": what_in_words(alert),
        "subjects": subjects_in_words(alert),
    }


def _rule(rule: Rule, matched: Matched, place: Place) -> dict[str, Any]:
    return {
        "rule": rule,
        "what": what_in_words(rule),
        "where": where_in_words(rule),
        "matches": matches_in_words(matched, rule),
        "is_of_no_dag": is_of_no_dag(matched, rule),
        "tone": TONES[Severity(rule.severity)],
        "channels": list(rule.channels.all()),
        "url": address(place, "rule", rule.pk),
        "switch_url": address(place, "switch_rule", rule.pk),
    }


overview = require_safe(_overview)
organization_overview = on_organization("organization.view")(overview)
workspace_overview = on_workspace("workspace.view")(overview)
