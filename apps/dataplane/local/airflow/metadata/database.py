"""Metadata databases: one role and one database per Deployment, copied from a template that is
migrated once.

Copying a migrated template takes a fraction of a second; `airflow db migrate` on an empty database
takes ten or twenty. The template's tables belong to a role that owns nothing else, so that handing
them over after the copy (REASSIGN OWNED) touches nothing shared.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from apps.dataplane.errors import Temporary
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.layout import Folder, State

CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 30_000


def deployment_url(config: LocalConfig, folder: Folder, state: State, *, driver: str = "") -> str:
    """Return the URL of the Deployment's database for its own role; `driver` is SQLAlchemy's."""
    scheme = f"postgresql+{driver}" if driver else "postgresql"
    return _url(
        config,
        name=folder.database,
        role=folder.database,
        password=state.database_password,
        scheme=scheme,
    )


def has_database(config: LocalConfig, name: str) -> bool:
    """Return whether the database exists."""
    with _connect(config) as connection:
        row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return row is not None


def template_name(runtime_version: str) -> str:
    """Name the template database of a runtime."""
    return "airflow_template_" + re.sub(r"[^a-z0-9]", "_", runtime_version.lower())


def create_database(config: LocalConfig, folder: Folder, state: State, *, template: str) -> bool:
    """Create the role and the database if they are missing; return whether `template` was copied.

    Without the template the database is made empty, to be migrated. Safe to repeat after a crash at
    any point: the copy gets its final name only after its tables were handed over.
    """
    name = folder.database
    with _connect(config) as connection:
        _ensure_role(connection, name, state.database_password)
        if _exists(connection, name):
            return False
        unfinished = f"{name}_new"
        _drop(connection, unfinished)
        is_copy = _exists(connection, template)
        source = template if is_copy else "template0"
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(unfinished), sql.Identifier(source), sql.Identifier(name)
            )
        )
        connection.execute(
            sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(
                sql.Identifier(unfinished)
            )
        )
        if is_copy:
            _hand_over(config, unfinished, old=template, new=name)
        _rename(connection, unfinished, name)
        return is_copy


def drop_database(config: LocalConfig, folder: Folder) -> None:
    """Drop the database with whatever is connected to it, and the role. Nothing happens if they are
    gone.
    """
    name = folder.database
    with _connect(config) as connection:
        _drop(connection, f"{name}_new")
        _drop(connection, restored_name(folder))
        _drop(connection, name)
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def restored_name(folder: Folder) -> str:
    """Name the database that a backup is restored into, before it takes the place of the other."""
    return f"{folder.database}_restored"


def begin_restore(config: LocalConfig, folder: Folder, state: State) -> str:
    """Create an empty database beside the Deployment's own, and return its URL for its own role."""
    name, beside = folder.database, restored_name(folder)
    with _connect(config) as connection:
        _ensure_role(connection, name, state.database_password)
        _drop(connection, beside)
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 OWNER {}").format(
                sql.Identifier(beside), sql.Identifier(name)
            )
        )
        connection.execute(
            sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(
                sql.Identifier(beside)
            )
        )
    return _url(
        config,
        name=beside,
        role=name,
        password=state.database_password,
        scheme="postgresql",
    )


def finish_restore(config: LocalConfig, folder: Folder) -> None:
    """Let the restored database take the place of the Deployment's own, which is dropped. Safe to
    repeat after a crash at any point.
    """
    beside = restored_name(folder)
    with _connect(config) as connection:
        if not _exists(connection, beside):
            return
        _drop(connection, folder.database)
        _rename(connection, beside, folder.database)


def database_size(config: LocalConfig, folder: Folder) -> int:
    """Return the size of a Deployment's database in bytes."""
    with _connect(config) as connection:
        row = connection.execute("SELECT pg_database_size(%s)", [folder.database]).fetchone()
    return int(str(row[0])) if row else 0


def begin_template(config: LocalConfig, name: str) -> str:
    """Create an empty database and role for a template; return the URL to migrate it with."""
    unfinished = f"{name}_new"
    password = secrets.token_urlsafe(24)
    with _connect(config) as connection:
        _drop(connection, unfinished)
        _ensure_role(connection, name, password)
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(unfinished))
        )
    with _connect(config, unfinished) as connection:
        connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(name)))
    return _url(config, name=unfinished, role=name, password=password, scheme="postgresql+psycopg2")


def finish_template(config: LocalConfig, name: str) -> None:
    """Give the migrated database the template's name, and close it to every role but its owner."""
    with _connect(config) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(
                sql.Identifier(f"{name}_new")
            )
        )
        _drop(connection, name)
        _rename(connection, f"{name}_new", name)


@contextmanager
def deployment_connection(
    config: LocalConfig, folder: Folder, state: State
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Connect to a Deployment's database as its own role, with short timeouts. Raises Temporary."""
    url = deployment_url(config, folder, state)
    options = "-c statement_timeout=2000 -c default_transaction_read_only=on"
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=2, options=options
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise Temporary("The metadata database does not answer.") from error


@contextmanager
def _connect(
    config: LocalConfig, name: str = ""
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    url = urlsplit(config.database_url)
    url = url._replace(path=f"/{name}") if name else url
    options = f"-c statement_timeout={STATEMENT_MILLISECONDS}"
    try:
        with psycopg.connect(
            urlunsplit(url), autocommit=True, connect_timeout=CONNECT_SECONDS, options=options
        ) as connection:
            yield connection
    except psycopg.errors.DiskFull as error:
        raise Temporary("The disk of the database server is full. Free some space.") from error
    except psycopg.Error as error:
        # PostgreSQL's message may quote a statement, and with it a password.
        raise Temporary(
            "The database server of this machine refuses the connection or does not answer."
        ) from error


def _url(config: LocalConfig, *, name: str, role: str, password: str, scheme: str) -> str:
    server = urlsplit(config.database_url)
    address = f"{server.hostname or '127.0.0.1'}:{server.port or 5432}"
    query = f"?{server.query}" if server.query else ""
    return f"{scheme}://{role}:{quote(password, safe='')}@{address}/{name}{query}"


def _exists(connection: psycopg.Connection[tuple[object, ...]], name: str) -> bool:
    return (
        connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        is not None
    )


def _ensure_role(
    connection: psycopg.Connection[tuple[object, ...]], name: str, password: str
) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(password)))
    # Membership lets the portal's role, which is no superuser, make a database that this role owns.
    connection.execute(
        sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE, INHERIT TRUE").format(sql.Identifier(name))
    )


def _hand_over(config: LocalConfig, database: str, *, old: str, new: str) -> None:
    with _connect(config, database) as connection:
        statement = sql.SQL("REASSIGN OWNED BY {} TO {}")
        connection.execute(statement.format(sql.Identifier(old), sql.Identifier(new)))


def _rename(connection: psycopg.Connection[tuple[object, ...]], old: str, new: str) -> None:
    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    connection.execute(statement.format(sql.Identifier(old), sql.Identifier(new)))


def _drop(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )
