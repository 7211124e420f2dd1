"""Entering prices. They concern every organization, so each change is in each audit log."""

from datetime import date
from decimal import Decimal

from django.db import transaction

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.core.errors import Invalid, PortalError
from apps.organizations.models import Organization
from apps.usage.models import Price

MOST = 200


class OneCurrency(Invalid):
    def __init__(self) -> None:
        super().__init__(
            "All prices have one currency: remove those in another one first, or use theirs.",
            field="currency",
        )


class TooManyPrices(PortalError):
    def __init__(self) -> None:
        super().__init__(f"There are at most {MOST} prices. Remove one that began long ago.")


@transaction.atomic
def set_price(*, actor: User, valid_from: date, amount: Decimal, currency: str) -> Price:
    """Let an hour of a worker cost something from a day on; a price of that day is replaced. What
    was counted since then costs that, too. Raises OneCurrency and TooManyPrices.
    """
    others = Price.objects.select_for_update().exclude(valid_from=valid_from)
    if others.exclude(currency=currency).exists():
        raise OneCurrency
    if others.count() >= MOST:
        raise TooManyPrices
    before = Price.objects.filter(valid_from=valid_from).first()
    price, _ = Price.objects.update_or_create(
        valid_from=valid_from,
        defaults={"amount": amount, "currency": currency, "created_by": actor},
    )
    _record(actor, "price.set", price, [before.in_words if before else None, price.in_words])
    return price


@transaction.atomic
def remove_price(*, actor: User, price: Price) -> None:
    """Remove a price: the one before it holds on."""
    _record(actor, "price.removed", price, [price.in_words, None])
    price.delete()


def _record(actor: User, action: str, price: Price, change: list[str | None]) -> None:
    changes = {f"worker hour from {price.valid_from}": change}
    for organization in Organization.objects.order_by("pk"):
        record_on(action=action, actor=actor, on=organization, changes=changes)
