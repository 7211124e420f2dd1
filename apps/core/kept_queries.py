"""Queries whose SQL is written once.

To write a query with many joins takes the ORM ten times as long as to read its one row. What
differs from one request to the next stands in the kept text as `Asked`, so nothing of a person or
an object is part of it.
"""

import secrets
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
Statement = tuple[str, tuple[Any, ...]]


class Asked(NamedTuple):
    """Stands in a kept statement for a value that differs from one request to the next."""

    name: str


def asked(name: str) -> RawSQL:
    """Return the place of a value in a query that is kept."""
    return RawSQL("%s", [Asked(name)])  # noqa: S611 - a place for a parameter


def filled(parameters: Sequence[Any], values: Mapping[str, Any]) -> list[Any]:
    """Put the values of one request into the places that were kept for them."""
    return [values[one.name] if isinstance(one, Asked) else one for one in parameters]


def written(rows: QuerySet[Any]) -> Statement:
    """Write a query with its constants in place. What is asked stays a parameter, in its order.

    psycopg takes a text with more than fifty parameters apart anew each time it is sent.
    """
    sql, parameters = rows.query.sql_with_params()
    # No value that a person types can be it.
    mark = secrets.token_hex(16)
    with connection.cursor() as cursor:
        text = cursor.mogrify(sql, [mark if isinstance(one, Asked) else one for one in parameters])
    text = text.replace("%", "%%").replace(f"'{mark}'", "%s")
    return text, tuple(one for one in parameters if isinstance(one, Asked))


class KeptRows(Generic[Row]):
    """Rows with what `select_related` and `annotate` add to them; `prefetch_related` is left out.

    Only for querysets that nothing but the values given to `read` tells apart.
    """

    def __init__(self, rows: QuerySet[Row]) -> None:
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, self._parameters = compiler.as_sql()
        select, self._about = compiler.select, compiler.klass_info
        self._compiler, self._annotations = compiler, dict(compiler.annotation_col_map or {})
        self._converters = compiler.get_converters([column[0] for column in select])
        fields = self._about["select_fields"]
        self._fields = slice(fields[0], fields[-1] + 1)
        self._names = [column[0].target.attname for column in select[self._fields]]
        self._related = get_related_populators(  # type: ignore[call-arg]  # as the next Django has it
            self._about, select, DEFAULT_DB_ALIAS
        )

    def read(self, **values: Any) -> list[Row]:
        """Run the query with values for what was asked: one query."""
        with connection.cursor() as cursor:
            cursor.execute(self._sql, filled(self._parameters, values))
            rows = cursor.fetchall()
        compiler = copy(self._compiler)
        compiler.connection = connection
        return [self._made(row) for row in compiler.apply_converters(rows, self._converters)]

    def one(self, **values: Any) -> Row | None:
        """Return the first row, or None."""
        return next(iter(self.read(**values)), None)

    def _made(self, row: Sequence[Any]) -> Row:
        made: Row = self._about["model"].from_db(DEFAULT_DB_ALIAS, self._names, row[self._fields])
        for related in self._related:
            related.populate(row, made)
        for name, at in self._annotations.items():
            setattr(made, name, row[at])
        return made
