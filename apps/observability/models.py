"""The tables of this app; each is defined in the room of its subject."""

from apps.observability.incidents.models import Incident, IncidentEvent

__all__ = ["Incident", "IncidentEvent"]
