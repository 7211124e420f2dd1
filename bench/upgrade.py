"""An upgrade of a Deployment with 100,000 task instances on this machine: from the wish until the
newer Airflow is healthy, its backup included. The rows are copies of those of a real run.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql

from bench.report import Line
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import OLDER, make_runtime, make_spec

MOST_SECONDS = 180
RUNS, TASKS_OF_A_RUN = 1_000, 100
REF = "aging-comet"


def run() -> tuple[list[Line], list[str]]:
    older, newer = make_runtime(OLDER), make_runtime()
    with local_world(older, newer) as world, TemporaryDirectory() as folder:
        world.create(make_spec(REF, executor="local", queues=(), runtime=older))
        world.succeeded("welcome", world.trigger("welcome"))
        grow(world)
        size = _size(world)
        began = time.monotonic()
        world.plane.back_up(ref=REF, path=str(Path(folder) / "before.dump"))
        backed_up = time.monotonic() - began
        world.apply(runtime=newer)
        took = time.monotonic() - began
        world.delete()
    return [
        Line(
            name="upgrade of 100,000 task instances",
            ours=f"{took:.0f} s ({backed_up:.1f} s for the backup)",
            goal=f"<= {MOST_SECONDS} s",
            is_met=took <= MOST_SECONDS,
        )
    ], [f"the metadata database has {size / 1024**2:.0f} MiB"]


def grow(world: LocalWorld) -> None:
    """Copy the run that is there, until there are 100,000 task instances and as many events."""
    with _connect(world) as connection:
        _copy(connection, "dag_run", RUNS, {"id": "DEFAULT", "run_id": "'copy_' || n"})
        ids = {"id": "gen_random_uuid()", "run_id": "run.run_id", "map_index": "n"}
        _copy(
            connection,
            "task_instance",
            TASKS_OF_A_RUN,
            ids,
            "CROSS JOIN (SELECT run_id FROM dag_run WHERE run_id LIKE 'copy%') run",
        )
        _copy(connection, "log", RUNS * TASKS_OF_A_RUN, {"id": "DEFAULT"})
        connection.execute("ANALYZE")


def _copy(
    connection: psycopg.Connection,
    table: str,
    count: int,
    changed: dict[str, str],
    joined: str = "",
) -> None:
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = 'public' ORDER BY ordinal_position",
        [table],
    ).fetchall()
    left = {name: f'one."{name}"' for (name,) in rows} | changed
    if table == "dag_run":
        left["logical_date"] = "NULL"
    left = {name: text for name, text in left.items() if text != "DEFAULT"}
    names = sql.SQL(", ").join(map(sql.Identifier, left))
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({names}) SELECT {values} "
            "FROM (SELECT * FROM {table} LIMIT 1) one "
            "CROSS JOIN generate_series(0, {last}) n {joined}"
        ).format(
            table=sql.Identifier(table),
            names=names,
            values=sql.SQL(", ".join(left.values())),
            last=sql.Literal(count - 1),
            joined=sql.SQL(joined),
        )
    )


def _size(world: LocalWorld) -> int:
    with _connect(world) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _connect(world: LocalWorld) -> psycopg.Connection:
    name = f"airflow_{REF.replace('-', '_')}"
    return psycopg.connect(world.plane.config.database_url, dbname=name, autocommit=True)
