"""The states of a component, in the words of Statuspage's API, and which of two is worse."""

from collections.abc import Iterable

from django.db.models import TextChoices


class State(TextChoices):
    OPERATIONAL = "operational", "Operational"
    DEGRADED = "degraded_performance", "Degraded"
    PARTIAL = "partial_outage", "Partly down"
    MAJOR = "major_outage", "Down"
    MAINTENANCE = "under_maintenance", "Maintenance"
    UNKNOWN = "unknown", "No data"


# What is not known is worse than well and better than anything that is known to be wrong.
RANKS: dict[str, int] = {
    State.OPERATIONAL: 0,
    State.UNKNOWN: 1,
    State.DEGRADED: 2,
    State.PARTIAL: 3,
    State.MAJOR: 4,
    State.MAINTENANCE: 5,
}
TONES: dict[str, str] = {
    State.OPERATIONAL: "good",
    State.UNKNOWN: "idle",
    State.DEGRADED: "warn",
    State.PARTIAL: "bad",
    State.MAJOR: "bad",
    State.MAINTENANCE: "move",
}
DISTURBED = frozenset({State.DEGRADED, State.PARTIAL, State.MAJOR})


def worst(states: Iterable[str]) -> State:
    """Return the worst of some states; well if there is none. Maintenance outranks all."""
    return State(max(states, key=RANKS.__getitem__, default=State.OPERATIONAL))
