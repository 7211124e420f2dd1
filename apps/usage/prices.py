"""What an hour of a worker costs, from which day on. Operators enter it; a setting holds where they
entered nothing.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Case, DecimalField, Expression, QuerySet, Value, When

from apps.usage.models import Price

EVER = date.min


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """Prices in one currency, by the day on which each begins, the earliest first. The first one
    holds for the time before it, too.
    """

    currency: str
    steps: tuple[tuple[date, Decimal], ...]

    def on(self, day: date) -> Decimal:
        """Return the price of a worker hour on a day."""
        begun = [price for begin, price in self.steps if begin <= day]
        return begun[-1] if begun else self.steps[0][1]

    def in_month(self, month: date) -> list[str]:
        """Return the different prices of a month as they are written, the earliest first."""
        last = (month.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        begins = [begin for begin, _ in self.steps if month < begin <= last]
        found = dict.fromkeys(self.on(day) for day in (month, *begins))
        return [f"{price.normalize():f}" for price in found]

    def by_day(self, field: str) -> Expression:
        """Return the price of the day in a field as an expression of a query."""
        whens = [
            When(**{f"{field}__gte": begin}, then=Value(price))
            for begin, price in reversed(self.steps)
        ]
        return Case(
            *whens,
            default=Value(self.steps[0][1]),
            output_field=DecimalField(max_digits=16, decimal_places=6),
        )


def prices_entered() -> QuerySet[Price]:
    """List the prices that operators entered, the newest first."""
    return Price.objects.select_related("created_by").order_by("-valid_from")


def price_list() -> PriceList | None:
    """Return what operators entered, else what the setting says, None without either. One query."""
    rows = list(
        Price.objects.order_by("valid_from").values_list("valid_from", "amount", "currency")
    )
    if rows:
        steps = tuple((begin, amount) for begin, amount, _ in rows)
        return PriceList(currency=rows[0][2], steps=steps)
    if settings.WORKER_HOUR_PRICE is None:
        return None
    return PriceList(currency=settings.CURRENCY, steps=((EVER, settings.WORKER_HOUR_PRICE),))
