from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST, require_safe

from apps.access.queries import denial_for
from apps.access.scoped import scoped
from apps.accounts.models import User
from apps.accounts.request_user import request_user
from apps.core.web.form_pages import errors_as_messages
from apps.core.web.htmx import is_fragment, skip_unchanged
from apps.core.web.own_addresses import address_with
from apps.deployments.models import Deployment
from apps.observability.incidents import services
from apps.observability.incidents.forms import ResponseForm
from apps.observability.incidents.kinds import KINDS, Severity
from apps.observability.incidents.models import Incident, IncidentEvent
from apps.observability.incidents.queries import (
    PERIODS,
    SEVERITIES,
    STATES,
    TONES,
    IncidentFilter,
    Place,
    incidents_in,
    narrowed,
    open_counts,
    operations_around,
    timeline_of,
)
from apps.observability.incidents.remedies import offered_remedies
from apps.organizations.models import Organization, Workspace

# Who reruns DAGs when something went wrong also answers for it.
RESPOND = "deployment.airflow.run"
PAGE_SIZE = 50
POLL_SECONDS = 20
SILENCES = {"silence-hour": timedelta(hours=1), "silence-day": timedelta(days=1), "silence": None}
What = IncidentEvent.What
EVENT_TONES = {What.OPENED: "bad", What.CLOSED: "good", What.CHANGED: "warn"}
EVENT_ICONS = {What.ACKNOWLEDGED: "check", What.SILENCED: "sleep", What.UNSILENCED: "incidents"}


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def deployment_incidents(request: HttpRequest, deployment: Deployment) -> HttpResponse:
    context = _list(request, deployment) | {"deployment": deployment}
    return _answer(request, "observability/incidents/deployment.html", context)


@scoped(Workspace, "workspace.view", by="slug")
@require_safe
def workspace_incidents(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    return _answer(request, "observability/incidents/place.html", _list(request, workspace))


@scoped(Organization, "organization.view", by="slug")
@require_safe
def organization_incidents(request: HttpRequest, organization: Organization) -> HttpResponse:
    return _answer(request, "observability/incidents/place.html", _list(request, organization))


@scoped(Deployment, "deployment.view", by="ref")
@require_safe
def incident(request: HttpRequest, deployment: Deployment, incident_id: int) -> HttpResponse:
    shown = _incident(request, deployment, incident_id)
    now = timezone.now()
    context = {
        "deployment": deployment,
        "incident": shown,
        "tone": TONES[Severity(shown.severity)],
        "kind": KINDS.get(shown.kind),
        "is_silenced": shown.is_silenced(now),
        "lasted": ((shown.closed_at or now) - (shown.opened_at or now)).total_seconds(),
        "timeline": _timeline(shown),
        "remedies": offered_remedies(incident=shown, deployment=deployment, user=request.user)
        if shown.is_open
        else [],
        "form": ResponseForm(),
        "denial": denial_for(user=request.user, permission=RESPOND, on=deployment),
        "now": now,
    }
    return render(request, "observability/incidents/incident.html", context)


@scoped(Deployment, RESPOND, by="ref")
@require_POST
def respond(request: HttpRequest, deployment: Deployment, incident_id: int) -> HttpResponse:
    shown = _incident(request, deployment, incident_id)
    form = ResponseForm(request.POST)
    if form.is_valid():
        with errors_as_messages(request):
            messages.success(request, _respond(request_user(request), shown, form.cleaned_data))
    for problems in form.errors.values():
        messages.error(request, str(problems[0]))
    return redirect("observability:incident", deployment.ref, shown.pk)


def _respond(actor: User, shown: Incident, asked: dict[str, Any]) -> str:
    """Do what was asked and say what holds now. Raises a PortalError."""
    act = asked["act"]
    now = timezone.now()
    told = {"actor": actor, "incident_id": shown.pk, "note": asked["note"], "now": now}
    if act == "acknowledge":
        services.acknowledge(**told)
        return f"You acknowledged {shown.number}."
    if act == "end-silence":
        services.end_silence(**told)
        return f"{shown.number} is counted again."
    services.silence(**told, lasts=SILENCES[act])
    return f"{shown.number} is silenced."


def _answer(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    name = "observability/incidents/_incidents.html" if is_fragment(request) else template
    response = render(request, name, context)
    patch_vary_headers(response, ["HX-Request"])
    return skip_unchanged(request, response)


def _list(request: HttpRequest, place: Place) -> dict[str, Any]:
    now = timezone.now()
    wanted = IncidentFilter.from_query(request.GET.dict())
    all_here = incidents_in(place=place, user=request_user(request))
    found = narrowed(all_here, wanted=wanted, now=now)
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [_row(one, now) for one in page.object_list]
    counts = open_counts(all_here)
    return {
        "place": place,
        "has_places": not isinstance(place, Deployment),
        "wanted": wanted,
        "tally": _tally(request, counts, wanted),
        "open_count": sum(counts.values()),
        "page": page,
        "open": [row for row in rows if row["incident"].is_open],
        "past": [row for row in rows if not row["incident"].is_open],
        "kinds": [
            (kind.key, kind.label) for kind in sorted(KINDS.values(), key=attrgetter("label"))
        ],
        "severities": [(key, severity.label) for key, severity in SEVERITIES.items()],
        "periods": list(PERIODS.items()),
        "states": list(STATES.items()),
        "now": now,
        "is_live": request.GET.get("live") != "off",
        "poll_seconds": POLL_SECONDS,
        "address": request.get_full_path(),
    }


def _row(one: Incident, now: datetime) -> dict[str, Any]:
    began = one.opened_at or one.noticed_at
    return {
        "incident": one,
        "tone": TONES[Severity(one.severity)],
        "is_silenced": one.is_silenced(now),
        "lasted": ((one.closed_at or now) - began).total_seconds(),
    }


def _tally(
    request: HttpRequest, counts: dict[int, int], wanted: IncidentFilter
) -> list[dict[str, Any]]:
    items = [("", "Open", sum(counts.values()), "")]
    for key, severity in reversed(SEVERITIES.items()):
        if counts.get(severity) or wanted.severity == key:
            items.append((key, severity.label, counts.get(severity, 0), TONES[severity]))
    return [
        {
            "label": label,
            "count": count,
            "tone": tone,
            "url": address_with(request, state="open", severity=key),
            "is_current": wanted.state == "open" and wanted.severity == key,
        }
        for key, label, count, tone in items
    ]


def _timeline(shown: Incident) -> list[dict[str, Any]]:
    """Return what happened to an incident and to its Deployment around it, newest first."""
    lines = [_line(event) for event in timeline_of(shown)]
    lines.append({"at": shown.noticed_at, "title": "First noticed", "icon": "wait"})
    for one in operations_around(shown):
        url = reverse("deployments:operation", args=[shown.deployment.ref, one.number])
        told = {"at": one.started_at, "title": one.title, "url": url, "who": one.actor}
        lines.append(told | {"tone": "move", "icon": "operations"})
    return sorted(lines, key=itemgetter("at"), reverse=True)


def _line(event: IncidentEvent) -> dict[str, Any]:
    what = What(event.what)
    return {
        "at": event.at,
        "title": what.label,
        "detail": event.note,
        "who": event.actor or "the portal",
        "tone": EVENT_TONES.get(what, "idle"),
        "icon": EVENT_ICONS.get(what, ""),
    }


def _incident(request: HttpRequest, deployment: Deployment, incident_id: int) -> Incident:
    mine = Incident.objects.shown().filter(deployment=deployment)
    return get_object_or_404(
        mine.select_related("acknowledged_by", "silenced_by", "deployment"), pk=incident_id
    )
