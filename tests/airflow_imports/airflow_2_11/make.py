"""Make the dumps beside this file anew, with a real Airflow 2.11.

Run as `python -m tests.airflow_imports.airflow_2_11.make <bin folder of an environment>`, which is
made with `uv pip install --exclude-newer 2025-06-15 apache-airflow==2.11.0 psycopg2-binary`.
"""

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

from apps.dataplane.local.machine import embedded_databases
from tests.embedded import running_services

HERE = Path(__file__).parent
FERNET_KEY = "n0EbYdG8ZYUlYcZ1UZyFJd1KJDTjZkNMp4qEXX3-lwE="
PASSWORD = "hunter2-of-the-warehouse"
VARIABLE = "a-token-of-1999"
DAGS = """
from datetime import datetime

from airflow import DAG
from airflow.operators.bash import BashOperator

for name in ("orders_daily", "stock_hourly", "never_unpaused"):
    with DAG(name, start_date=datetime(2025, 1, 1), schedule=None, tags=["shop"]) as dag:
        BashOperator(task_id="load", bash_command="echo loaded")
    globals()[name] = dag
"""
COMMANDS = (
    ["db", "migrate"],
    [
        "connections",
        "add",
        "warehouse",
        "--conn-uri",
        f"postgres://etl:{PASSWORD}@db.example.org/dwh",
    ],
    ["variables", "set", "api_token", VARIABLE],
    ["pools", "set", "narrow", "2", "Two at a time"],
    ["users", "create", "-u", "ada", "-f", "Ada", "-l", "L", "-r", "Admin", "-e", "ada@example.org"]
    + ["-p", "not-taken-along"],
    ["dags", "reserialize"],
    ["dags", "unpause", "orders_daily", "-y"],
    ["dags", "unpause", "stock_hourly", "-y"],
    ["dags", "test", "orders_daily", "2025-01-02"],
)


def main(programs: Path) -> None:
    with running_services() as home, tempfile.TemporaryDirectory() as folder:
        own = embedded_databases.database_url(home)
        with psycopg.connect(own, autocommit=True) as connection:
            connection.execute("CREATE ROLE airflow LOGIN PASSWORD 'airflow'")
            connection.execute("GRANT airflow TO CURRENT_USER")
            connection.execute("CREATE DATABASE airflow TEMPLATE template0 OWNER airflow")
        server = own.rpartition("@")[2].partition("/")[0]
        url = f"postgresql://airflow:airflow@{server}/airflow"
        run_airflow(programs, Path(folder), url)
        for name, arguments in (("custom.dump", ["--format=custom"]), ("plain.sql", [])):
            path = Path(folder) / name
            dump = embedded_databases.postgres_binaries(home) / "pg_dump"
            subprocess.run([dump, *arguments, "--file", path, url], check=True)
            (HERE / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def run_airflow(
    programs: Path, folder: Path, url: str, commands: Sequence[Sequence[str]] = COMMANDS
) -> None:
    (folder / "dags").mkdir()
    (folder / "dags" / "shop.py").write_text(DAGS)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor" if "sqlite" in url else "LocalExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.replace("postgresql:", "postgresql+psycopg2:"),
    }
    for command in commands:
        program = [programs / "python", "-m", "airflow", *command]
        subprocess.run(program, env=environment, check=True, cwd=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
