"""Every upgrade that the catalogue allows, with runs and their task instances, XComs, events, a
connection, a variable and a pool in the database: minutes for each pair, so that a person asks for
it.
"""

import os
from dataclasses import replace
from itertools import combinations

import psycopg
import pytest
from psycopg import sql

from apps.dataplane.errors import Permanent
from apps.runtimes.catalogue import built_in
from tests.dataplane.local_world import LocalWorld, local_world
from tests.dataplane.specs import make_runtime, make_spec

NAME = "ASTRO_PORTAL_TEST_RELEASES"
OLDEST_FIRST = [one.airflow_version for one in reversed(built_in())]
PAIRS = list(combinations(OLDEST_FIRST, 2))
VARIABLE = {"key": "region", "value": "north ☃"}
CONNECTION = {"connection_id": "orders", "conn_type": "postgres", "host": "db", "password": "s3"}
POOL = {"name": "narrow", "slots": 2}
# What people would miss, by table. A run that ended is never written again.
KEPT = {
    "dag_run": ("dag_id", "run_id", "run_type", "state", "start_date", "end_date"),
    "task_instance": (
        "dag_id",
        "task_id",
        "run_id",
        "map_index",
        "try_number",
        "state",
        "end_date",
    ),
    "xcom": ("dag_id", "task_id", "run_id", "map_index", "key", "value"),
    "log": ("id", "event", "dag_id", "run_id", "task_id"),
    "variable": ("key", "val"),
    "connection": ("conn_id", "conn_type", "host", "password"),
    "slot_pool": ("pool", "slots"),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NAME not in os.environ, reason=f"takes minutes; {NAME}=1 includes it"),
]


@pytest.mark.parametrize(("before", "after"), PAIRS, ids=lambda version: version)
def test_what_was_in_the_database_is_there_after_an_upgrade_and_it_runs_on(
    before: str, after: str
) -> None:
    older, newer = make_runtime(before), make_runtime(after)
    with local_world(older, newer) as world:
        spec = make_spec("pair-comet", executor="local", queues=(), runtime=older)
        world.create(spec)
        runs = [world.trigger("welcome", number=number) for number in range(3)]
        tasks = [world.succeeded("welcome", run_id)["tasks"] for run_id in runs]
        world.airflow("POST", "/api/v2/variables", VARIABLE)
        world.airflow("POST", "/api/v2/connections", CONNECTION)
        world.airflow("POST", "/api/v2/pools", POOL)
        rows = _rows(world)
        assert all(rows.values()), {table: len(found) for table, found in rows.items()}

        world.apply(runtime=newer)

        assert world.airflow("GET", "/api/v2/version")["version"] == after
        found = _rows(world)
        lost = {table: rows[table] - found[table] for table in KEPT if rows[table] - found[table]}
        assert not lost
        kept = [world.run("welcome", run_id) for run_id in runs]
        assert {one["state"] for one in kept} == {"success"}
        assert [len(one["tasks"]) for one in kept] == [len(one) for one in tasks]
        assert world.airflow("GET", "/api/v2/variables/region")["value"] == VARIABLE["value"]
        assert world.airflow("GET", "/api/v2/connections/orders")["host"] == "db"
        world.succeeded("welcome", world.trigger("welcome"))
        with pytest.raises(Permanent, match="cannot be undone"):
            world.plane.apply(spec=replace(spec, revision=9))
        world.delete()


def _rows(world: LocalWorld) -> dict[str, set[tuple[str, ...]]]:
    """Return what is in the metadata database, as text."""
    name = "airflow_pair_comet"
    with psycopg.connect(world.plane.config.database_url, dbname=name) as connection:
        return {table: _rows_of(connection, table, columns) for table, columns in KEPT.items()}


def _rows_of(
    connection: psycopg.Connection, table: str, columns: tuple[str, ...]
) -> set[tuple[str, ...]]:
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(one)) for one in columns)
    query = sql.SQL("SELECT {} FROM {}").format(texts, sql.Identifier(table))
    return set(connection.execute(query))
