"""When a component's state changes: a state must be found several times in a row, and for a time.

Both count, as for incidents: a flicker changes nothing, and neither does a clock that jumps. Better
takes longer than worse, so that health that flaps is one disturbance.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from apps.status_pages.setup.models import Component
from apps.status_pages.setup.states import RANKS, State


class Hold(NamedTuple):
    looks: int
    seconds: int


AT_ONCE, WORSE, BETTER = Hold(1, 0), Hold(2, 30), Hold(6, 180)
# With a longer pause between two looks, what was between them is not known.
GAP = timedelta(seconds=150)


def look(component: Component, found: State, now: datetime) -> bool:
    """Note what was found of a component now; return whether its state changed.

    Writes the fields of the row and saves nothing. After a gap the count begins anew.
    """
    is_new = found != component.seen_state or _has_gap(component, now)
    component.looks = 1 if is_new else component.looks + 1
    if is_new or component.seen_at is None:
        component.seen_state, component.seen_at = found, now
    if found == component.state or not _holds(component, found, now):
        return False
    component.state, component.state_at = found, now
    return True


def _has_gap(component: Component, now: datetime) -> bool:
    last = component.evaluated_at
    return last is None or not timedelta(0) <= now - last <= GAP


def _holds(component: Component, found: State, now: datetime) -> bool:
    if component.state == State.UNKNOWN:
        hold = AT_ONCE
    else:
        hold = WORSE if RANKS[found] > RANKS[component.state] else BETTER
    since = component.seen_at or now
    return component.looks >= hold.looks and (now - since).total_seconds() >= hold.seconds
