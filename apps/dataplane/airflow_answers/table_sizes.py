"""How large the tables of a metadata database are, told by the Airflow itself on every plane
(`runtime/plugins/portal_counts.py`): bounded, and read with distrust.
"""

from dataclasses import dataclass

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.untrusted import text_of

TABLES = "/auth/portal/tables"
MOST_TABLES, MOST_BYTES = 30, 2**50


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """A table with all that is its, in bytes. PostgreSQL estimates `rows`; None where it has not
    looked yet.
    """

    name: str
    rows: int | None
    size_bytes: int


def read_table_sizes(plane: DataPlane, *, spec: DeploymentSpec) -> tuple[TableSize, ...]:
    """Return the largest tables, the largest first; none where Airflow does not tell."""
    try:
        answer = plane.airflow(spec=spec, method="GET", path=TABLES)
    except DataPlaneError:
        return ()
    return tables_in(answer.data) if answer.status == 200 else ()


def tables_in(said: object) -> tuple[TableSize, ...]:
    """Read an answer of Airflow. Pure; what has another shape is left out."""
    rows = said.get("tables") if isinstance(said, dict) else None
    found = [_table(row) for row in (rows[:MOST_TABLES] if isinstance(rows, list) else ())]
    known = [one for one in found if one is not None]
    return tuple(sorted(known, key=lambda one: one.size_bytes, reverse=True))


def _table(row: object) -> TableSize | None:
    if not isinstance(row, list) or len(row) != 3:
        return None
    name, rows, size = text_of(row[0], 63), row[1], row[2]
    if not name or not _is_whole(rows) or not _is_whole(size) or size < 0:
        return None
    return TableSize(name=name, rows=rows if rows >= 0 else None, size_bytes=size)


def _is_whole(value: object) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number and -1 <= value <= MOST_BYTES  # type: ignore[operator]  # it is a number
