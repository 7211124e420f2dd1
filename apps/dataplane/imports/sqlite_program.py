"""Reads a SQLite database that strangers made, and writes its rows as PostgreSQL's COPY takes them.

Of the standard library only, and run without our packages, our environment and our rights to the
portal's database: `python sqlite_program.py <job.json>`. The job has `database`, `folder` for what
is written, `reserved_bytes` of its disk that stay free, and `columns`: {table: [[column, type of
PostgreSQL]]}, empty where the file is only to be looked at. `answer.json` then has `problem`, ""
where all went well, and `head`, `rows`: {table: how many}, `columns`: {table: those in its file}.

Nothing that the file brings is run: no trigger, view, virtual table, computed column or index of it
is used, and pickles are copied as the bytes that they are.
"""

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

DAMAGED, FULL, LARGE = "damaged", "full", "large"
# Airflow keeps a whole DAG in one value.
LONGEST_VALUE = 256 * 1024**2
CHECKED_ROWS = 2_000
# Bytes are written as two digits each, and small numbers take more as text.
MOST_GROWTH, MOST_SPARE = 8, 64 * 1024**2
READ_ONLY = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}
PRAGMAS = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "temp_store = MEMORY")
ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\0": "\ufffd"})
NOT_JSON = re.compile(r"NaN|Infinity|\\u0000")
# After an even number of backslashes: after an odd one it is the text \\u0000.
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

Columns = dict[str, list[list[str]]]


class Refusal(Exception):
    """The file is not taken; the first argument says why in one word."""


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Do what the job says, and return the answer."""
    try:
        connection = opened(job["database"])
        return _answer(connection, job)
    except Refusal as error:
        return {"problem": error.args[0]}
    except (sqlite3.Error, ValueError, OverflowError, MemoryError):
        return {"problem": DAMAGED}


def opened(path: str) -> sqlite3.Connection:
    """Open a file that is neither locked nor written. Raises sqlite3.Error."""
    address = f"file:{quote(path)}?mode=ro&immutable=1"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    connection.text_factory = lambda value: value.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _answer(connection: sqlite3.Connection, job: dict[str, Any]) -> dict[str, Any]:
    folder, wanted = Path(job["folder"]), job["columns"]
    if not wanted:
        _check(connection)
    tables = {name: _columns(connection, name) for name in _tables(connection)}
    connection.set_authorizer(_authorize)
    if not wanted:
        return {"problem": "", "head": _head(connection, tables)}
    room = _room(folder, Path(job["database"]).stat().st_size, job["reserved_bytes"])
    rows, written = {}, {}
    for table, columns in wanted.items():
        there = [one for one in columns if one[0] in tables.get(table, ())]
        if there:
            with (folder / f"{table}.copy").open("xb") as out:
                rows[table] = _write(connection, table, there, out, room)
            written[table] = [name for name, _ in there]
    return {"problem": "", "rows": rows, "columns": written}


def _check(connection: sqlite3.Connection) -> None:
    for (found,) in connection.execute("PRAGMA quick_check(1)"):
        if found != "ok":
            raise Refusal(DAMAGED)


def _tables(connection: sqlite3.Connection) -> list[str]:
    # A view and a virtual table have no page of their own.
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    )
    return [str(name) for (name,) in rows]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", [table]).fetchall()
    return [str(name) for name, hidden in rows if not hidden]


def _authorize(action: int, *_about: str | None) -> int:
    return sqlite3.SQLITE_OK if action in READ_ONLY else sqlite3.SQLITE_DENY


def _head(connection: sqlite3.Connection, tables: dict[str, list[str]]) -> str:
    if "version_num" not in tables.get("alembic_version", ()):
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version NOT INDEXED LIMIT 1")
    found = row.fetchone()
    return str(found[0])[:100] if found else "nothing"


def _room(folder: Path, size: int, reserved: int) -> Callable[[int], None]:
    left = size * MOST_GROWTH + MOST_SPARE

    def room(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise Refusal(LARGE)
        if shutil.disk_usage(folder).free < reserved:
            raise Refusal(FULL)

    return room


def _write(
    connection: sqlite3.Connection,
    table: str,
    columns: list[list[str]],
    out: BinaryIO,
    room: Callable[[int], None],
) -> int:
    names = ", ".join(_quoted(name) for name, _ in columns)
    kinds = [kind for _, kind in columns]
    query = f"SELECT {names} FROM {_quoted(table)} NOT INDEXED"  # noqa: S608 - quoted names
    rows = connection.execute(query)
    count = told = 0
    for row in rows:
        values = (copied(value, kind) for value, kind in zip(row, kinds, strict=True))
        out.write("\t".join(values).encode("utf-8", "replace") + b"\n")
        count += 1
        if count % CHECKED_ROWS == 0 or out.tell() - told > LONGEST_VALUE:
            room(out.tell() - told)
            told = out.tell()
    room(out.tell() - told)
    return count


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def copied(value: Any, kind: str) -> str:
    """Return a value of SQLite as COPY takes it for a column of a type of PostgreSQL."""
    if value is None:
        return "\\N"
    if kind == "bytea":
        content = value if isinstance(value, bytes) else str(value).encode()
        return "\\\\x" + content.hex()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if kind == "boolean" and value in (0, 1):
        return "t" if value else "f"
    if kind in ("json", "jsonb"):
        value = _json(value)
    if isinstance(value, float) and value.is_integer() and kind in ("integer", "bigint"):
        value = int(value)
    return str(value).translate(ESCAPES)


def _json(value: Any) -> str:
    # SQLite keeps a JSON that is a number as one. PostgreSQL takes no NaN, and no NUL.
    text = value if isinstance(value, str) else json.dumps(value)
    if NOT_JSON.search(text) is None:
        return text
    try:
        loaded = json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text
    return NUL.sub(r"\1\\ufffd", json.dumps(loaded))


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    answer = main(asked)
    (Path(asked["folder"]) / "answer.json").write_text(json.dumps(answer))
