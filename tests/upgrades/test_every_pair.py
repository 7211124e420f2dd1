"""Every upgrade that the catalogue allows, with runs, a connection and a variable in the database:
minutes for each pair, so that a person asks for it.
"""

import os
from dataclasses import replace
from itertools import combinations

import pytest

from apps.dataplane.errors import Permanent
from apps.runtimes.catalogue import built_in
from tests.dataplane.local_world import local_world
from tests.dataplane.specs import make_runtime, make_spec

NAME = "ASTRO_PORTAL_TEST_RELEASES"
OLDEST_FIRST = [one.airflow_version for one in reversed(built_in())]
PAIRS = list(combinations(OLDEST_FIRST, 2))
VARIABLE = {"key": "region", "value": "north ☃"}
CONNECTION = {"connection_id": "orders", "conn_type": "postgres", "host": "db", "password": "s3"}

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
        run_id = world.trigger("welcome")
        tasks = world.succeeded("welcome", run_id)["tasks"]
        world.airflow("POST", "/api/v2/variables", VARIABLE)
        world.airflow("POST", "/api/v2/connections", CONNECTION)

        world.apply(runtime=newer)

        assert world.airflow("GET", "/api/v2/version")["version"] == after
        kept = world.run("welcome", run_id)
        assert kept["state"] == "success"
        assert [one["task_id"] for one in kept["tasks"]] == [one["task_id"] for one in tasks]
        assert world.airflow("GET", "/api/v2/variables/region")["value"] == VARIABLE["value"]
        assert world.airflow("GET", "/api/v2/connections/orders")["host"] == "db"
        world.succeeded("welcome", world.trigger("welcome"))
        with pytest.raises(Permanent, match="cannot be undone"):
            world.plane.apply(spec=replace(spec, revision=9))
        world.delete()
