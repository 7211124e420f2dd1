"""Reads of the pages of incidents. Each is a constant number of queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, QuerySet

from apps.accounts.models import User
from apps.deployments.models import Deployment, Operation
from apps.observability.incidents.kinds import KINDS, Severity
from apps.observability.incidents.models import Incident, IncidentEvent
from apps.organizations.models import Organization, Workspace

SEVERITIES = {severity.label.lower(): severity for severity in Severity}
TONES = {Severity.CRITICAL: "bad", Severity.WARNING: "warn", Severity.INFO: "move"}
PERIODS = {"1": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days"}
STATES = {"open": "Open", "closed": "Closed"}
BEFORE, MOST_OPERATIONS = timedelta(hours=6), 5
Place = Deployment | Workspace | Organization


@dataclass(frozen=True, kw_only=True)
class IncidentFilter:
    """The filter in the query string. Unknown values are ignored."""

    state: str = ""
    severity: str = ""
    kind: str = ""
    days: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "IncidentFilter":
        return cls(
            state=_known(query.get("state"), STATES),
            severity=_known(query.get("severity"), SEVERITIES),
            kind=_known(query.get("kind"), KINDS),
            days=_known(query.get("days"), PERIODS),
        )

    @property
    def is_narrow(self) -> bool:
        return bool(self.state or self.severity or self.kind or self.days)


def incidents_in(*, place: Place, user: User) -> QuerySet[Incident]:
    """List the incidents that a person may see of a Deployment, a workspace or an organization:
    open ones first, the worst and then the newest first.
    """
    shown = Incident.objects.visible_to(user).shown()
    if isinstance(place, Deployment):
        shown = shown.filter(deployment=place)
    elif isinstance(place, Workspace):
        shown = shown.filter(deployment__workspace=place)
    else:
        shown = shown.filter(deployment__workspace__organization=place)
    related = ("deployment__workspace", "acknowledged_by", "silenced_by")
    worst = ("-severity",)
    newest_closed = F("closed_at").desc(nulls_first=True)
    return shown.select_related(*related).order_by(newest_closed, *worst, "-opened_at", "-pk")


def narrowed(
    incidents: QuerySet[Incident], *, wanted: IncidentFilter, now: datetime
) -> QuerySet[Incident]:
    """Keep what a filter asks for. Of a period is what was open at any time in it."""
    if wanted.state:
        incidents = incidents.filter(closed_at__isnull=wanted.state == "open")
    if wanted.severity:
        incidents = incidents.filter(severity=SEVERITIES[wanted.severity])
    if wanted.kind:
        incidents = incidents.filter(kind=wanted.kind)
    if wanted.days:
        since = now - timedelta(days=int(wanted.days))
        incidents = incidents.filter(Q(closed_at=None) | Q(closed_at__gte=since))
    return incidents


def open_counts(incidents: QuerySet[Incident]) -> dict[int, int]:
    """Count open incidents by severity, silenced ones too."""
    opened = incidents.filter(closed_at=None).order_by()
    return dict(opened.values_list("severity").annotate(count=Count("pk")))


def timeline_of(incident: Incident) -> QuerySet[IncidentEvent]:
    """List what happened to an incident, newest first."""
    return IncidentEvent.objects.filter(incident=incident).select_related("actor").order_by("-pk")


def operations_around(incident: Incident) -> list[Operation]:
    """List the operations on the Deployment from six hours before an incident was noticed until it
    closed, newest first, at most five: what changed is often why.
    """
    began = incident.noticed_at - BEFORE
    found = Operation.objects.filter(deployment_id=incident.deployment_id, started_at__gte=began)
    if incident.closed_at is not None:
        found = found.filter(started_at__lte=incident.closed_at)
    return list(found.select_related("actor").order_by("-started_at")[:MOST_OPERATIONS])


def _known(value: str | None, known: Mapping[str, object]) -> str:
    return value if value and value in known else ""
