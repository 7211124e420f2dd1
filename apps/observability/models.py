"""The tables of this app; each is defined in the room of its subject."""

from apps.observability.history.models import (
    Collection,
    HistoryDay,
    RecordedDecision,
    Sample,
    Series,
)
from apps.observability.incidents.models import Incident, IncidentEvent
from apps.observability.remote_write.models import Receiver
from apps.observability.results.models import RunResult

__all__ = [
    "Collection",
    "HistoryDay",
    "Incident",
    "IncidentEvent",
    "Receiver",
    "RunResult",
    "RecordedDecision",
    "Sample",
    "Series",
]
