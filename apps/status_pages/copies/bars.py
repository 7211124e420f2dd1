"""The bars of 90 days, drawn in few bytes: a run of alike days is one dashed line. Pure."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from apps.status_pages.copies.content import ComponentContent, Day
from apps.status_pages.setup.states import TONES, State

# A bar is 3 wide, and 1 apart from the next; CSS draws the line 28 high in dashes of these.
STEP, BAR = 4, 3
MOST_NAMED = 4
# The middle of a line of each tone: the bars stand on one ground, the worse the higher.
MIDDLES = {"good": 19, "warn": 16, "bad": 14, "move": 22, "idle": 26}


class Run(NamedTuple):
    """A run of days of one tone: where it begins, and where its last bar ends."""

    tone: str
    begins: int
    ends: int

    @property
    def y(self) -> int:
        return MIDDLES[self.tone]


def runs_of(days: Sequence[Day]) -> list[Run]:
    """Return the runs of days that look alike, from the left."""
    runs, at = [], 0
    for tone, alike in groupby(days, key=lambda one: TONES[one.state]):
        count = len(list(alike))
        runs.append(Run(tone, at * STEP, (at + count) * STEP - (STEP - BAR)))
        at += count
    return runs


def in_words(component: ComponentContent) -> str:
    """Say what the bars show, for those who do not see them."""
    if component.uptime is None:
        return f"{component.name}, 90 days: no data."
    parts = [f"{component.name}, 90 days: {component.uptime:.2f} % up."]
    for state, word in (
        (State.MAJOR, "Down on"),
        (State.PARTIAL, "Partly down on"),
        (State.DEGRADED, "Degraded on"),
        (State.MAINTENANCE, "Maintenance on"),
    ):
        days = [one.day for one in component.days if one.state == state]
        if days:
            parts.append(f"{word} {_named(days)}.")
    missing = sum(one.state == State.UNKNOWN for one in component.days)
    if missing:
        parts.append(f"No data on {missing} days.")
    return " ".join(parts)


def _named(days: Sequence[date]) -> str:
    newest = [f"{one.day} {one:%B}" for one in days[-MOST_NAMED:]]
    more = len(days) - len(newest)
    return ", ".join(newest) + (f" and {more} days before" if more else "")
