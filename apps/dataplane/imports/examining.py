"""Reading what an Airflow from elsewhere has, as the role that owns its database."""

import psycopg
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from psycopg import sql

from apps.dataplane.errors import Permanent
from apps.dataplane.imports.types import FoundAirflow, FoundDag
from apps.dataplane.imports.versions import version_of

Connection = psycopg.Connection[tuple[object, ...]]

MOST_DAGS, MOST_USERS, MOST_SECRETS, MOST_TEXT = 5_000, 200, 100_000, 250
COUNTED = {
    "DAGs": "dag",
    "DAG runs": "dag_run",
    "Task instances": "task_instance",
    "Connections": "connection",
    "Variables": "variable",
    "Pools": "slot_pool",
    "XComs": "xcom",
    "Users": "ab_user",
    "Roles": "ab_role",
}
# Table, key, value, and the condition under which the value is encrypted. Triggers' are in any case
# since Airflow 2.9.
ENCRYPTED = (
    ("connection", "conn_id", "password", "is_encrypted"),
    ("connection", "conn_id", "extra", "is_extra_encrypted"),
    ("variable", "key", "val", "is_encrypted"),
    ("trigger", "id", "kwargs", "true"),
)
NO_AIRFLOW = "This is no database of Airflow: it has no table alembic_version."
NO_KEY = (
    "Connections or variables in it are encrypted. Enter the Fernet key of that Airflow "
    "(AIRFLOW__CORE__FERNET_KEY)."
)


def examine(connection: Connection) -> FoundAirflow:
    """Return what is in a database. Raises Permanent for one that cannot become a Deployment."""
    tables = _tables(connection)
    if "alembic_version" not in tables:
        raise Permanent(NO_AIRFLOW)
    head = connection.execute("SELECT version_num FROM alembic_version LIMIT 1").fetchone()
    version, versions = version_of(str(head[0]) if head else "nothing")
    size = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return FoundAirflow(
        airflow_version=version,
        versions=versions,
        database_bytes=int(str(size[0])) if size else 0,
        counts={
            word: _count(connection, table) for word, table in COUNTED.items() if table in tables
        },
        dags=_dags(connection),
        users=_users(connection) if "ab_user" in tables else (),
        secrets=sum(len(values_of(connection, one, tables)) for one in ENCRYPTED),
    )


def check_keys(connection: Connection, keys: tuple[str, ...]) -> MultiFernet | None:
    """Return what decrypts the secrets of a database, None where there are none. Raises Permanent
    for keys that do not, without a word of what they should have decrypted.
    """
    tables = _tables(connection)
    values = {
        one[:3]: values_of(connection, one, tables) for one in ENCRYPTED if one[0] != "trigger"
    }
    total = sum(map(len, values.values()))
    if not keys:
        if total:
            raise Permanent(NO_KEY)
        return None
    fernet = opener(keys)
    wrong = [
        f"{table} {key}"
        for (table, _, _), rows in values.items()
        for key, value in rows
        if not _opens(fernet, value)
    ]
    if wrong:
        raise Permanent(
            f"The Fernet key does not decrypt {len(wrong)} of {total} secrets, such as that of the "
            f"{wrong[0][:80]}. Enter the key of that Airflow; several with commas between, the "
            "newest first."
        )
    return fernet


def opener(keys: tuple[str, ...]) -> MultiFernet:
    """Return what decrypts with any of these keys. Raises Permanent for one that is none."""
    try:
        return MultiFernet([Fernet(one) for one in keys])
    except ValueError:
        raise Permanent(
            "The Fernet key is none: it has 44 characters and ends with =. Copy it again."
        ) from None


def values_of(
    connection: Connection, column: tuple[str, str, str, str], tables: set[str]
) -> list[tuple[str, str]]:
    """Return keys and values of an encrypted column."""
    table, key, value, condition = column
    if table not in tables:
        return []
    query = sql.SQL("SELECT {}::text, {}::text FROM {} WHERE {} AND {} IS NOT NULL AND {} <> ''")
    name = sql.Identifier(value)
    rows = connection.execute(
        query.format(
            sql.Identifier(key),
            name,
            sql.Identifier(table),
            sql.SQL("true") if condition == "true" else sql.Identifier(condition),
            name,
            sql.SQL("{}::text").format(name),
        )
    )
    found = rows.fetchmany(MOST_SECRETS + 1)
    if len(found) > MOST_SECRETS:
        raise Permanent(f"The table {table} has more than {MOST_SECRETS:,} secrets.")
    return [(str(one), str(text)) for one, text in found]


def _opens(fernet: MultiFernet, value: str) -> bool:
    try:
        fernet.decrypt(value.encode())
    except InvalidToken:
        return False
    return True


def _tables(connection: Connection) -> set[str]:
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {str(name) for (name,) in rows.fetchall()}


def _count(connection: Connection, table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = connection.execute(query).fetchone()
    return int(str(row[0])) if row else 0


def _dags(connection: Connection) -> tuple[FoundDag, ...]:
    columns = {
        str(name)
        for (name,) in connection.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name = 'dag'"
        ).fetchall()
    }
    # Airflow 3 calls it stale; what is not there any more does not come along.
    there = "NOT is_stale" if "is_stale" in columns else "is_active"
    query = sql.SQL("SELECT dag_id, fileloc, is_paused FROM dag WHERE {} ORDER BY dag_id LIMIT {}")
    rows = connection.execute(query.format(sql.SQL(there), sql.Literal(MOST_DAGS)))
    return tuple(
        FoundDag(
            dag_id=str(dag_id)[:MOST_TEXT],
            file=str(file or "")[-MOST_TEXT:],
            is_paused=bool(paused),
        )
        for dag_id, file, paused in rows.fetchall()
    )


def _users(connection: Connection) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT email FROM ab_user ORDER BY email LIMIT %s", [MOST_USERS]
    ).fetchall()
    return tuple(str(one)[:MOST_TEXT] for (one,) in rows)
