"""Decisions about workers in words, each with the numbers that it was made from. Pure."""

import math

from apps.core.words import duration_in_words
from apps.observability.history.models import RecordedDecision

TONES = {
    "up": "move",
    "down": "idle",
    "busy": "move",
    "no-slot": "warn",
    "maximum": "warn",
    "paused": "warn",
    "not-counted": "bad",
}
TITLES = {
    "up": "Scaled up",
    "down": "Scaled down",
    "cooldown": "Waits for the cooldown",
    "busy": "Waits for busy workers",
    "no-slot": "No worker could be started",
    "maximum": "At the maximum",
    "minimum": "At the minimum",
    "steady": "As many as needed",
    "paused": "Autoscaling is paused",
    "not-counted": "Tasks could not be counted",
}


def tone_of(decision: RecordedDecision) -> str:
    return TONES.get(decision.reason, "good")


def title_of(decision: RecordedDecision) -> str:
    return TITLES.get(decision.reason, "Decided")


def formula_of(decision: RecordedDecision) -> str:
    """Return the formula with its numbers, as in "(5 queued + 3 running) / 4 = 2 workers"."""
    if decision.queued is None or decision.running is None:
        return "The tasks of that moment are not known."
    needed = math.ceil((decision.queued + decision.running) / max(1, decision.concurrency))
    return (
        f"({decision.queued:,} queued + {decision.running:,} running) / {decision.concurrency} "
        f"per worker = {_workers(needed)}"
    )


def message_of(decision: RecordedDecision) -> str:
    """Return why the queue has as many workers as it has, in a sentence or two."""
    there, wanted = decision.workers, decision.wanted
    said = {
        "up": f"{_workers(there)} ran and {wanted} are wanted, so more were started.",
        "down": f"{_workers(there)} ran and {wanted} are wanted, longer than the cooldown of "
        f"{duration_in_words(decision.cooldown_seconds)}.",
        "cooldown": f"{_workers(there)} run and {wanted} are wanted. Those not needed stay for "
        f"{duration_in_words(decision.cooldown_seconds)} after they were needed last.",
        "busy": f"{wanted} are wanted, but each of the {_workers(there)} still runs a task.",
        "no-slot": f"{wanted} are wanted, but old workers still finish their tasks, or crashed.",
        "maximum": f"More are needed than the maximum of {decision.max_workers} allows.",
        "minimum": f"Fewer are needed than the minimum of {decision.min_workers}.",
        "steady": f"{_workers(there)} run, and as many are wanted.",
        "paused": f"The number stays at {there} until autoscaling is resumed on the cluster.",
        "not-counted": f"The number stays at {there} until tasks can be counted.",
    }.get(decision.reason, "")
    return f"{said} {decision.message}".strip()


def _workers(count: int) -> str:
    return f"{count:,} worker{'' if count == 1 else 's'}"
