"""What an hour of a worker costs, by operators of this installation: the same prices as on the page
of them, which the usage of every organization is reckoned with.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from ninja import Path, Router
from pydantic import Field

from apps.api.wire.errors import or_404
from apps.api.wire.forms import check, fields_named
from apps.api.wire.gates import OPERATORS, Call
from apps.api.wire.shapes import Profile, Shape, profile_of
from apps.usage.forms import PriceForm
from apps.usage.models import Price
from apps.usage.prices import price_list, prices_entered
from apps.usage.services import remove_price, set_price

router = Router(by_alias=True, exclude_none=True, tags=["Usage"])
ADDRESS = "/worker-hour-prices"
FIELDS = {"valid_from": "validFrom"}


class AtPrice(Shape):
    valid_from: date


class PriceBody(Shape):
    """`validFrom` is the day (UTC) on which the price begins; one of that day is replaced.
    `currency` are three letters, the same for all prices.
    """

    valid_from: date
    amount: Decimal = Field(max_digits=12, decimal_places=6)
    currency: str = Field(max_length=3)


class PriceShape(Shape):
    valid_from: date
    amount: float
    currency: str
    created_at: datetime
    created_by: Profile


class PriceList(Shape):
    """`currency` is that of all costs, also where no price was entered and the setting holds."""

    prices: list[PriceShape]
    currency: str | None = None


@router.get(
    ADDRESS,
    auth=OPERATORS,
    response=PriceList,
    operation_id="ListWorkerHourPrices",
    summary="List the prices of a worker hour, the newest first",
)
def list_prices(request: Call) -> Any:
    known = price_list()
    return PriceList(
        prices=[_shape(one) for one in prices_entered()],
        currency=known.currency if known else None,
    )


@router.post(
    ADDRESS,
    auth=OPERATORS,
    response=PriceShape,
    operation_id="SetWorkerHourPrice",
    summary="Set the price of a worker hour from a day on",
)
def put_price(request: Call, body: PriceBody) -> Any:
    """What was counted since that day costs it, too."""
    form = PriceForm(
        {
            "valid_from": body.valid_from.isoformat(),
            "amount": f"{body.amount:f}",
            "currency": body.currency,
        }
    )
    check(form, FIELDS)
    with fields_named(FIELDS):
        price = set_price(actor=request.caller.user, **form.cleaned_data)
    return _shape(price)


@router.delete(
    ADDRESS + "/{validFrom}",
    auth=OPERATORS,
    response={204: None},
    operation_id="RemoveWorkerHourPrice",
    summary="Remove a price: the one before it holds on",
)
def delete_price(request: Call, at: Path[AtPrice]) -> None:
    price = or_404(prices_entered().filter(valid_from=at.valid_from).first())
    remove_price(actor=request.caller.user, price=price)


def _shape(price: Price) -> PriceShape:
    return PriceShape(
        valid_from=price.valid_from,
        amount=float(price.amount),
        currency=price.currency,
        created_at=price.created_at,
        created_by=profile_of(price.created_by),
    )
