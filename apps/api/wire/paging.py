"""Pages of lists: `offset`, `limit` up to 1,000, and `sorts=field:desc`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from pydantic import Field

from apps.api.wire.shapes import Shape
from apps.core.errors import Invalid

Row = TypeVar("Row", bound=Model)
MOST_ROWS = 1_000


class Paging(Shape):
    """The part of a query that says which page is wanted."""

    offset: int = Field(default=0, ge=0, le=10**9)
    limit: int = Field(default=100, ge=1, le=MOST_ROWS)
    sorts: list[str] = []


@dataclass(frozen=True)
class Page:
    """Rows of a page, and how many there are in all."""

    rows: list[Any]
    total: int

    def numbers(self, paging: Paging) -> dict[str, int]:
        return {"total_count": self.total, "offset": paging.offset, "limit": paging.limit}


def page_of(found: QuerySet[Any], paging: Paging, *, sorts: Mapping[str, str]) -> Page:
    """Read one page: one query, and one more to count where the page does not tell.

    `sorts` maps what clients may sort by to fields, with a minus where the last comes first unless
    a direction is asked for; the first is the order where none is asked for. Raises Invalid for
    another.
    """
    ordered = found.order_by(*_order(paging.sorts, sorts), "pk")
    rows = list(ordered[paging.offset : paging.offset + paging.limit])
    is_last = len(rows) < paging.limit and (rows or not paging.offset)
    return Page(rows, paging.offset + len(rows) if is_last else found.count())


def part_of(found: list[Any], paging: Paging) -> Page:
    """Take one page out of a list that is read as a whole."""
    return Page(found[paging.offset : paging.offset + paging.limit], len(found))


def _order(asked: list[str], sorts: Mapping[str, str]) -> list[str]:
    order = []
    for one in asked:
        name, _, direction = one.partition(":")
        if name not in sorts or direction not in ("", "asc", "desc"):
            known = ", ".join(sorts)
            raise Invalid(f"Sort by {known}, with :asc or :desc behind it.", field="sorts")
        order.append(_directed(sorts[name], direction))
    return order or [next(iter(sorts.values()))]


def _directed(field: str, direction: str) -> str:
    plain = field.removeprefix("-")
    return {"": field, "asc": plain, "desc": f"-{plain}"}[direction]
