"""What an incident shows as proof: typed, bounded, and stripped of what acts on a screen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.dataplane.untrusted import ESCAPES, UNSAFE

MOST_FACTS, MOST_COLUMNS, MOST_ROWS = 12, 4, 20
LABEL_CHARACTERS, CELL_CHARACTERS, EXCERPT_CHARACTERS = 60, 300, 2_000


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Facts as (label, value), a table with its columns, and an excerpt of several lines.

    `rows_in_all` says how many rows there are when not all are kept.
    """

    facts: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    rows_in_all: int = 0
    excerpt: str = ""

    @property
    def rows_left_out(self) -> int:
        return max(0, self.rows_in_all - len(self.rows))

    @property
    def labelled_rows(self) -> list[list[tuple[str, str]]]:
        """The rows with the column of each cell."""
        return [list(zip(self.columns, row, strict=False)) for row in self.rows]

    def as_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "facts": [list(fact) for fact in self.facts],
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "rows_in_all": self.rows_in_all,
            "excerpt": self.excerpt,
        }


def evidence(
    *,
    facts: Iterable[tuple[str, object]] = (),
    columns: Sequence[str] = (),
    rows: Sequence[Sequence[object]] = (),
    rows_in_all: int | None = None,
    excerpt: str = "",
) -> Evidence:
    """Return evidence within the caps. Facts without a value are left out."""
    told = [(label, line_of(value)) for label, value in facts]
    width = min(len(columns), MOST_COLUMNS)
    return Evidence(
        facts=tuple((label[:LABEL_CHARACTERS], value) for label, value in told if value)[
            :MOST_FACTS
        ],
        columns=tuple(name[:LABEL_CHARACTERS] for name in columns[:width]),
        rows=tuple(tuple(line_of(cell) for cell in row[:width]) for row in rows[:MOST_ROWS]),
        rows_in_all=max(len(rows), rows_in_all or 0),
        excerpt=_clean(excerpt)[:EXCERPT_CHARACTERS],
    )


def evidence_from(data: object) -> Evidence:
    """Read stored evidence as far as it is known: another version of the portal may have written
    it.
    """
    stored: Mapping[str, Any] = data if isinstance(data, dict) else {}
    facts = [pair for pair in _lists(stored.get("facts")) if len(pair) == 2]
    found = stored.get("rows_in_all")
    return evidence(
        facts=[(str(label), value) for label, value in facts],
        columns=[str(name) for name in _list(stored.get("columns"))],
        rows=_lists(stored.get("rows")),
        rows_in_all=found if isinstance(found, int) else None,
        excerpt=str(stored.get("excerpt") or ""),
    )


def line_of(value: object, most: int = CELL_CHARACTERS) -> str:
    """Return a value as one safe line of at most `most` characters; None is empty."""
    text = "" if value is None else " ".join(_clean(str(value)).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _clean(text: str) -> str:
    return UNSAFE.sub("", ESCAPES.sub("", text))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _lists(value: object) -> list[list[Any]]:
    return [one for one in _list(value) if isinstance(one, list)]
