"""Observations and incidents for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from apps.deployments.models import Deployment
from apps.observability.incidents.kinds import KINDS
from apps.observability.incidents.models import Incident, IncidentEvent

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
GOOD = {"state": "running", "ready": 1, "wanted": 1}
CORE = ("api-server", "scheduler", "dag-processor", "triggerer")


def observation(at: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """Return a stored observation of a healthy Airflow, with changes."""
    seen: dict[str, Any] = {
        "observed_at": at.isoformat(),
        "exists": True,
        "applied_revision": 1,
        "health": "healthy",
        "message": "Airflow is healthy.",
        "components": [{"name": name, **GOOD} for name in CORE],
        "queues": [],
        "import_errors": 0,
    }
    return {**seen, **changes}


def component(name: str, **changes: Any) -> list[dict[str, Any]]:
    """Return the components of a healthy Airflow, one of them changed."""
    found = [{"name": one, **GOOD} for one in CORE if one != name]
    return [*found, {"name": name, **GOOD, **changes}]


def notice(
    reason: str, message: str = "0/3 nodes are available.", **changes: Any
) -> dict[str, Any]:
    """Return a stored warning of a cluster."""
    at = (NOW - timedelta(minutes=1)).isoformat()
    told = {"object": "Pod/scheduler-7c9f", "reason": reason, "message": message, "count": 3}
    return {**told, "last_at": at, "is_over": False, **changes}


def observe(deployment: Deployment, at: datetime = NOW, **changes: Any) -> None:
    """Store an observation."""
    seen = observation(at, **changes)
    deployment.observation, deployment.observed_at = seen, at
    deployment.health, deployment.health_message = seen["health"], seen["message"]
    fields = ["observation", "observed_at", "health", "health_message"]
    deployment.save(update_fields=fields)


def make_incident(deployment: Deployment, **fields: Any) -> Incident:
    """Make an incident that is open since an hour, with its first event."""
    began = fields.pop("opened_at", NOW - timedelta(hours=1))
    kind = fields.setdefault("kind", "import-errors")
    given = {
        "severity": KINDS[kind].severity,
        "title": "1 DAG file cannot be imported",
        "summary": "dags/orders.py: No module named 'pandas'",
        "evidence": {"facts": [["Code since", "revision 1"]]},
        "noticed_at": began,
        "opened_at": began,
        "last_seen_at": NOW,
        "checked_at": NOW,
        "evaluations": 9,
    }
    incident = Incident.objects.create(deployment=deployment, **{**given, **fields})
    IncidentEvent.objects.create(incident=incident, at=began, what=IncidentEvent.What.OPENED)
    if not incident.closed_at:
        severity = max(deployment.incident_severity, incident.severity)
        deployment.open_incidents += 1
        deployment.incident_severity = severity
        deployment.save(update_fields=["open_incidents", "incident_severity"])
    return incident
