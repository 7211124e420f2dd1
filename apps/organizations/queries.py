"""Counting, for the queries of all rooms here."""

from typing import Any

from django.db.models import (
    Count,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce


def rows_in(rows: QuerySet[Any], *, by: str) -> Coalesce:
    """Count rows that refer to the outer one through `by`, apart from all other joins."""
    counted = rows.order_by().values(by).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)
