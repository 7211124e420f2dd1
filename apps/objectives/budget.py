"""The error budget of an objective. Pure.

A target of 99 % over 28 days allows one bad run of a hundred. What is left is 1 with no bad run, 0
when all that is allowed was bad, and below 0 beyond. The burn rate is the share of bad runs of the
last day over the share that is allowed: 1 spends the budget in exactly 28 days.

Source: The Site Reliability Workbook, chapters 2 and 5 (Google).
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

DAYS = 28
# Less than this is left: look at it before it is spent.
LOW = 0.25


class State(StrEnum):
    UNKNOWN = "unknown"
    KEPT = "kept"
    LOW = "low"
    SPENT = "spent"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Good and bad runs of the last `DAYS` days, and of the last day alone."""

    target_percent: Decimal
    good: int
    bad: int
    good_today: int = 0
    bad_today: int = 0

    @property
    def runs(self) -> int:
        return self.good + self.bad

    @property
    def good_percent(self) -> float | None:
        """How many of a hundred runs were good; None without a run."""
        return 100 * self.good / self.runs if self.runs else None

    @property
    def allowed(self) -> float:
        """How many runs may be bad, of as many as there were."""
        return self.runs * self._allowed_share

    @property
    def left(self) -> float | None:
        """The share of the budget that is left; None without a run."""
        if not self.runs:
            return None
        return 1 - self.bad / self.allowed

    @property
    def left_percent(self) -> int | None:
        return None if self.left is None else round(100 * self.left)

    @property
    def burn(self) -> float | None:
        """How many times as fast as allowed the budget was spent today; None without a run."""
        runs = self.good_today + self.bad_today
        return self.bad_today / runs / self._allowed_share if runs else None

    @property
    def state(self) -> State:
        if self.left is None:
            return State.UNKNOWN
        if self.left < 0:
            return State.SPENT
        return State.LOW if self.left < LOW else State.KEPT

    @property
    def _allowed_share(self) -> float:
        return float(100 - self.target_percent) / 100
