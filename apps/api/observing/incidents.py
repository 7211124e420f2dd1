"""Incidents: list, read, and what people do with one."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Path, Query, Router
from pydantic import Field

from apps.api.deployments.shapes import AtDeployment
from apps.api.wire.errors import or_404
from apps.api.wire.forms import check
from apps.api.wire.gates import Call, in_organization, on_deployment
from apps.api.wire.paging import Paging, page_of
from apps.api.wire.shapes import InOrganization, Listing, Profile, Shape, profile_of
from apps.core.errors import Invalid
from apps.core.public_ids import numbers_of, public_id
from apps.observability.incidents import services
from apps.observability.incidents.forms import ResponseForm
from apps.observability.incidents.kinds import KINDS, Severity
from apps.observability.incidents.models import Incident, IncidentEvent
from apps.observability.incidents.queries import (
    PERIODS,
    SEVERITIES,
    STATES,
    IncidentFilter,
    incidents_in,
    narrowed,
    timeline_of,
)
from apps.observability.incidents.views import RESPOND, SILENCES

router = Router(by_alias=True, exclude_none=True, tags=["Incident"])
SORTS = {"openedAt": "-opened_at", "closedAt": "closed_at", "severity": "severity"}


class AtIncident(AtDeployment):
    incident_number: int


class IncidentEventShape(Shape):
    at: datetime
    event: str
    note: str
    by: Profile | None = None


class IncidentShape(Shape):
    """Without `closedAt` it is open. One that is silenced is not counted."""

    number: int
    deployment_id: str
    deployment_name: str
    workspace_id: str
    kind: str
    subject: str
    severity: str
    title: str
    summary: str
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: Profile | None = None
    is_silenced: bool
    silenced_until: datetime | None = None


class IncidentWithEvents(IncidentShape):
    events: list[IncidentEventShape]


class IncidentList(Listing):
    incidents: list[IncidentShape]


class IncidentQuery(Paging):
    """`days` is 1, 7, 30 or 90: what was open at any time in them."""

    deployment_ids: list[str] = []
    workspace_ids: list[str] = []
    state: str = ""
    severity: str = ""
    kind: str = ""
    days: str = ""


class IncidentResponse(Shape):
    """`act` is acknowledge, silence-hour, silence-day, silence or end-silence."""

    act: str
    note: str = Field(default="", max_length=300)


@router.get(
    "/organizations/{organizationId}/incidents",
    auth=in_organization(),
    response=IncidentList,
    operation_id="ListIncidents",
    summary="List incidents, the newest first",
)
def list_incidents(request: Call, at: Path[InOrganization], asked: Query[IncidentQuery]) -> Any:
    _refuse_unknown(asked)
    wanted = IncidentFilter(
        state=asked.state.lower(),
        severity=asked.severity.lower(),
        kind=asked.kind,
        days=asked.days,
    )
    all_here = incidents_in(place=request.organization, user=request.caller.user)
    found, now = narrowed(all_here, wanted=wanted, now=timezone.now()), timezone.now()
    if asked.deployment_ids:
        found = found.filter(deployment__in=numbers_of("deployment", asked.deployment_ids))
    if asked.workspace_ids:
        workspaces = numbers_of("workspace", asked.workspace_ids)
        found = found.filter(deployment__workspace__in=workspaces)
    page = page_of(found, asked, sorts=SORTS)
    rows = [IncidentShape(**_fields(one, now)) for one in page.rows]
    return IncidentList(incidents=rows, **page.numbers(asked))


@router.get(
    "/organizations/{organizationId}/deployments/{deploymentId}/incidents/{incidentNumber}",
    auth=on_deployment("deployment.view"),
    response=IncidentWithEvents,
    operation_id="GetIncident",
    summary="Get an incident with what happened to it",
)
def get_incident(request: Call, at: Path[AtIncident]) -> Any:
    return _whole(_found(request, at.incident_number))


@router.post(
    "/organizations/{organizationId}/deployments/{deploymentId}/incidents/{incidentNumber}/respond",
    auth=on_deployment(RESPOND),
    response=IncidentWithEvents,
    operation_id="RespondToIncident",
    summary="Acknowledge or silence an incident, or end its silence",
)
def respond(request: Call, at: Path[AtIncident], body: IncidentResponse) -> Any:
    """It closes by itself, never by hand. 409 where it has closed."""
    found = _found(request, at.incident_number)
    check(ResponseForm(body.model_dump()), {})
    told: dict[str, Any] = {
        "actor": request.caller.user,
        "incident_id": found.pk,
        "note": body.note,
        "now": timezone.now(),
    }
    if body.act == "acknowledge":
        services.acknowledge(**told)
    elif body.act == "end-silence":
        services.end_silence(**told)
    else:
        services.silence(**told, lasts=SILENCES[body.act])
    return _whole(_found(request, at.incident_number))


def _refuse_unknown(asked: IncidentQuery) -> None:
    """Say what there is to ask for: a filter with a typing mistake must not list everything."""
    for name, said, known in (
        ("state", asked.state.lower(), STATES),
        ("severity", asked.severity.lower(), SEVERITIES),
        ("kind", asked.kind, KINDS),
        ("days", asked.days, PERIODS),
    ):
        if said and said not in known:
            raise Invalid(f"Choose one of {', '.join(known)}.", field=name)


def _found(request: Call, number: int) -> Incident:
    mine = incidents_in(place=request.found, user=request.caller.user)
    return or_404(mine.filter(pk=min(number, 2**62)).first())


def _whole(one: Incident) -> IncidentWithEvents:
    events = [_event(event) for event in timeline_of(one)]
    return IncidentWithEvents(**_fields(one, timezone.now()), events=events)


def _event(event: IncidentEvent) -> IncidentEventShape:
    return IncidentEventShape(
        at=event.at,
        event=event.what.upper(),
        note=event.note,
        by=profile_of(event.actor) if event.actor else None,
    )


def _fields(one: Incident, now: datetime) -> dict[str, Any]:
    by = one.acknowledged_by
    return {
        "number": one.pk,
        "deployment_id": public_id("deployment", one.deployment_id),
        "deployment_name": one.deployment.name,
        "workspace_id": public_id("workspace", one.deployment.workspace_id),
        "kind": one.kind,
        "subject": one.subject,
        "severity": Severity(one.severity).name,
        "title": one.title,
        "summary": one.summary,
        "opened_at": one.opened_at,
        "closed_at": one.closed_at,
        "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": profile_of(by) if by else None,
        "is_silenced": one.is_silenced(now),
        "silenced_until": one.silenced_until,
    }
