"""Making an archive of a database from elsewhere: none of its tasks runs by itself, its secrets are
under a key that only the portal has, and the passwords of its people are gone. Triggers of deferred
tasks go on with the triggerer: who brings a database brings code.
"""

import contextlib
import os
import shutil
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from psycopg import sql

from apps.dataplane.errors import Permanent
from apps.dataplane.imports.examining import ENCRYPTED, check_keys, examine, values_of
from apps.dataplane.imports.loading import failures_told, known_reason, loaded
from apps.dataplane.imports.scratch import NO_ROOM, RESERVED_BYTES, Scratch, claimed
from apps.dataplane.imports.types import ImportedDatabase, ImportSource
from apps.dataplane.local.backups.archives import run_program, sha256_of
from apps.dataplane.local.home import Home

# Millions of rows are counted; what a hostile database makes of a query ends then, too.
OPTIONS = "-c statement_timeout=600000 -c search_path=public"
LEFT_BEHIND = ("session", "ab_register_user", "ab_user_role", "ab_user_group", "ab_user")
# What refers to a person, such as a note on a run, stays without the person.
REFERRING = """
    SELECT relname, attname FROM pg_constraint
    JOIN pg_class ON pg_class.oid = conrelid
    JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
    WHERE contype = 'f' AND confrelid = to_regclass('public.ab_user') AND NOT attnotnull
"""


def import_database(
    *, home: Home, scratch: Scratch, source: ImportSource, path: Path
) -> ImportedDatabase:
    """Write an archive of a source to `path`, and return what was found. Takes up to hours. Raises
    Permanent or Temporary, ScratchBusy among them, and leaves nothing then.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with claimed(scratch), loaded(home, scratch, source) as url:
            imported = _prepared(home, url, source, unfinished)
        unfinished.rename(path)
        return imported
    except OSError as error:
        raise Permanent(f"The database could not be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _prepared(home: Home, url: str, source: ImportSource, unfinished: Path) -> ImportedDatabase:
    new_key = Fernet.generate_key()
    with (
        failures_told(),
        psycopg.connect(url, connect_timeout=10, options=OPTIONS) as connection,
    ):
        found = examine(connection)
        old = check_keys(connection, source.fernet_keys)
        if old is not None:
            _reencrypt(connection, old, Fernet(new_key))
        connection.execute("UPDATE dag SET is_paused = true")
        _leave_behind(connection)
        # Of the same installation as pg_dump.
        postgres = connection.info.server_version // 10_000
    # Made here, so that no one else may read it while it grows.
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    status, lines = run_program(
        home,
        "pg_dump",
        [
            *("--format=custom", "--compress=6", "--no-owner", "--no-privileges"),
            *("--file", str(unfinished)),
        ],
        url=url,
        check=lambda: _check_room(unfinished),
    )
    if status != 0:
        raise Permanent(known_reason(lines) or "PostgreSQL could not write the archive.", log=lines)
    return ImportedDatabase(
        found=found,
        size_bytes=unfinished.stat().st_size,
        sha256=sha256_of(unfinished),
        postgres=postgres,
        fernet_key=new_key.decode(),
    )


def _check_room(archive: Path) -> None:
    if shutil.disk_usage(archive.parent).free < RESERVED_BYTES:
        raise Permanent(NO_ROOM)


def _reencrypt(connection: psycopg.Connection, old: MultiFernet, new: Fernet) -> None:
    row = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    ).fetchall()
    tables = {str(name) for (name,) in row}
    for column in ENCRYPTED:
        table, key, value, _ = column
        update = sql.SQL("UPDATE {} SET {} = %s WHERE {}::text = %s").format(
            sql.Identifier(table), sql.Identifier(value), sql.Identifier(key)
        )
        for name, text in values_of(connection, column, tables):
            # A trigger of before Airflow 2.9 is plaintext; all else was decrypted once already.
            with contextlib.suppress(InvalidToken):
                opened = old.decrypt(text.encode())
                connection.execute(update, [new.encrypt(opened).decode(), name])


def _leave_behind(connection: psycopg.Connection) -> None:
    for table, column in connection.execute(REFERRING).fetchall():
        update = sql.SQL("UPDATE {} SET {} = NULL WHERE {} IS NOT NULL")
        names = (sql.Identifier(table), sql.Identifier(column), sql.Identifier(column))
        connection.execute(update.format(*names))
    for table in LEFT_BEHIND:
        row = connection.execute("SELECT to_regclass(%s)", [f"public.{table}"]).fetchone()
        if row and row[0] is not None:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
