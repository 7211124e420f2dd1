"""What a real Airflow makes of the database of a real 2.11, which was one of SQLite: a dump of
PostgreSQL has the same tables, as `test_sqlite` shows.
"""

import ast
import subprocess
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet
from packaging.version import Version

from apps.dataplane.imports import sqlite
from apps.dataplane.imports.preparing import import_database
from apps.dataplane.imports.scratch import Scratch, claimed
from apps.dataplane.imports.server import throwaway_database
from apps.dataplane.imports.types import ImportSource
from apps.dataplane.imports.versions import HEADS
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.layout import Folder, read_state
from apps.dataplane.spec import AirflowSecrets, RestoreSpec
from tests.airflow_imports.airflow_2_11 import make
from tests.dataplane.local_world import LocalWorld, installed_python
from tests.dataplane.specs import make_code, make_spec

REF = "coming-comet"
DAG = f"""
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG("orders_daily", schedule=None):
    BashOperator(
        task_id="load",
        bash_command="test {{{{ conn.warehouse.password }}}} = '{make.PASSWORD}'",
    )
"""


def walk_through_import(world: LocalWorld, folder: Path) -> None:
    """Bring a 2.11 to a machine that has a runtime of 3, run its DAG there, and delete it."""
    _check_versions(world)
    _check_tables(world)
    archive = folder / "imported.dump"
    source = ImportSource(
        key="0a1b",
        dump_path=str(make.HERE / "airflow.db.gz"),
        fernet_keys=(Fernet.generate_key().decode(), make.FERNET_KEY),
    )
    imported = import_database(
        home=world.home, scratch=_scratch(world), source=source, path=archive
    )
    came = LocalWorld(home=world.home, plane=world.plane)
    secrets = make_spec().secrets
    came.create(
        make_spec(
            REF,
            executor="local",
            queues=(),
            code=make_code(folder, {"dags/shop.py": DAG}),
            secrets=AirflowSecrets(
                fernet_key=imported.fernet_key,
                jwt_secret=secrets.jwt_secret,
                api_secret_key=secrets.api_secret_key,
            ),
            restore=RestoreSpec(
                key="import",
                dump_path=str(archive),
                sha256=imported.sha256,
                airflow_version=imported.found.airflow_version,
                pauses_dags=True,
            ),
        )
    )
    try:
        _check(came)
    finally:
        came.delete()


def _check_versions(world: LocalWorld) -> None:
    """The portal's table of heads is Airflow's own."""
    python = installed_python("3.3.2-1")
    assert python
    found = subprocess.run(
        [python, "-c", "from airflow.utils import db; print(db._REVISION_HEADS_MAP)"],
        env={"AIRFLOW_HOME": str(world.home.path / "heads"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    heads = ast.literal_eval(found.stdout.splitlines()[-1])
    since = [version for version in heads if Version(version) >= Version("2.10.3")]
    assert {heads[one]: one for one in since} == {head: one for head, (one, _) in HEADS.items()}


def _check_tables(world: LocalWorld) -> None:
    """A SQLite of the newest Airflow is read into the tables that this Airflow itself makes."""
    config = world.plane.config
    template = config.database_url.rpartition("/")[0] + "/" + database.template_name("3.3.2-1")
    head = next(reversed(HEADS))
    scratch = _scratch(world)
    with (
        claimed(scratch),
        throwaway_database(world.home, scratch) as url,
        psycopg.connect(url) as connection,
    ):
        connection.execute(sqlite.schema_of(head)[0].encode())
        ours = sqlite.columns_in(connection)
    with psycopg.connect(template) as connection:
        real = sqlite.columns_in(connection)
    assert {table: sorted(real[table]) for table in real} == {
        table: sorted(ours[table]) for table in ours if not table.startswith("ab_")
    }


def _scratch(world: LocalWorld) -> Scratch:
    return Scratch(folder=world.home.path / "imports")


def _check(world: LocalWorld) -> None:
    assert world.airflow("GET", "/api/v2/version")["version"] == "3.3.2"
    with psycopg.connect(_url(world)) as connection:
        paused = connection.execute("SELECT dag_id, is_paused FROM dag").fetchall()
        users = connection.execute("SELECT count(*) FROM ab_user").fetchone()
    assert {True} == {one for name, one in paused if name in ("orders_daily", "stock_hourly")}
    assert users == (0,)
    runs = world.airflow("GET", "/api/v2/dags/orders_daily/dagRuns")["dag_runs"]
    assert [one["state"] for one in runs] == ["success"]
    assert runs[0]["logical_date"].startswith("2025-01-02")
    variable = world.airflow("GET", "/api/v2/variables/api_token")
    assert variable["value"] in (make.VARIABLE, "***")
    assert "narrow" in {one["name"] for one in world.airflow("GET", "/api/v2/pools")["pools"]}
    # Its task reads the connection, which is encrypted with the new key.
    world.succeeded("orders_daily", world.trigger("orders_daily"))


def _url(world: LocalWorld) -> str:
    folder = Folder(world.home, REF)
    state = read_state(folder)
    assert state
    return database.deployment_url(world.plane.config, folder, state)
