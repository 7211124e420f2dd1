"""Make `runtime/schemas` anew: the tables of each Airflow that can come in a SQLite database.

Run as `python -m tests.airflow_imports.make_schemas <python of the newest runtime>`: it makes them
from its migrations. Those of 2.11, of which Airflow 3 knows a part, are in a dump of a real one.
"""

import gzip
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg

from apps.dataplane.imports.sqlite import ROWS_COME_HERE, SCHEMAS
from apps.dataplane.imports.versions import HEADS
from apps.dataplane.local.machine import embedded_databases
from tests.airflow_imports.airflow_2_11 import make
from tests.embedded import running_services

LEFT_OUT = re.compile(
    r"(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict |(CREATE|COMMENT ON) SCHEMA )"
)


def main(python: Path) -> None:
    with running_services() as home, tempfile.TemporaryDirectory() as folder:
        own = embedded_databases.database_url(home)
        with psycopg.connect(own, autocommit=True) as connection:
            connection.execute("CREATE DATABASE airflow TEMPLATE template0")
        url = f"{own.rpartition('/')[0]}/airflow"
        environment = {
            **os.environ,
            "AIRFLOW_HOME": folder,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.replace(
                "postgresql:", "postgresql+psycopg2:"
            ),
        }
        binaries = embedded_databases.postgres_binaries(home)
        of_2, *of_3 = HEADS
        dump = Path(folder) / "custom.dump"
        dump.write_bytes(gzip.decompress((make.HERE / "custom.dump.gz").read_bytes()))
        _write(of_2, [binaries / "pg_restore", "--file", "-", dump])
        for head in of_3:
            subprocess.run(
                [python, "-m", "airflow", "db", "migrate", "--to-revision", head]
                + ["--use-migration-files"],
                env=environment,
                check=True,
                stdin=subprocess.DEVNULL,
            )
            _write(head, [binaries / "pg_dump", "--exclude-table=_*", url])


def _write(head: str, command: list[str | Path]) -> None:
    parts = [_section(command, name) for name in ("pre-data", "post-data")]
    (SCHEMAS / f"{head}.sql").write_text(ROWS_COME_HERE.join(parts))


def _section(command: list[str | Path], name: str) -> str:
    options = [f"--section={name}", "--schema=public", "--no-owner", "--no-privileges"]
    said = subprocess.run([*command, *options], check=True, capture_output=True, text=True).stdout
    lines = said.splitlines()
    return "".join(f"{line}\n" for line in lines if line and not LEFT_OUT.match(line))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
