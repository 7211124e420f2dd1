"""What pods of a Deployment are given to reach its database, on a server that the settings of a
cluster name: run on this machine.
"""

import os
import subprocess
from base64 import b64decode
from pathlib import Path

from apps.dataplane.kubernetes.config import DatabaseServer
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.places import DATABASE_CA
from apps.dataplane.production import ProductionSpec
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find
from tests.dataplane.local_world import installed_python
from tests.dataplane.postgres_servers import PASSWORD, USER
from tests.dataplane.specs import make_runtime
from tests.kubernetes.certificates import Authority

PYTHON = installed_python(make_runtime().version)
RUNTIME = Path(__file__).parents[2] / "runtime"
DEFAULTS = ProductionSpec()
CA_FILE = Path(DATABASE_CA).name
ASK = """
import asyncio
from airflow import settings
from sqlalchemy import text

IS_TLS = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")

async def by_asyncpg():
    async with settings.AsyncSession() as session:
        return (await session.execute(IS_TLS)).scalar()

with settings.Session() as session:
    print("psycopg2", session.execute(IS_TLS).scalar())
print("asyncpg", asyncio.run(by_asyncpg()))
"""


class Pod:
    """The environment of pods of a Deployment whose database is on the server."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str,
        port: int,
        ca: Authority,
        sslmode: str,
        settings: ProductionSpec = DEFAULTS,
        password: str = PASSWORD,
    ) -> None:
        server = DatabaseServer(
            host=host,
            port=port,
            user=USER,
            password=password,
            sslmode=sslmode,
            ca_certificate=ca.certificate,
        )
        spec = make_spec(settings=settings)
        self.objects = manifests(render(spec=spec, config=make_config(database=server)))
        self.folder = folder
        files = find(self.objects, "ConfigMap", "programs")["data"]
        program = folder / "airflow"
        program.write_text(f'#!/bin/sh\nexec {PYTHON} -m airflow "$@"\n')
        program.chmod(0o700)
        (folder / "ca.pem").write_text(files.get(CA_FILE, ""))

    def prepare(self) -> str:
        """Run the job that makes role and database; return what it complained of."""
        command = ["psql", "--no-psqlrc", "--quiet"]
        command += [f"--file={RUNTIME / 'pods' / 'prepare_database.sql'}"]
        return self.run(command, self.secret("tidy-comet-admin"))

    def ask(self) -> str:
        """Connect as Airflow does, by both of its drivers; return whether it was encrypted."""
        return self.run([str(PYTHON), "-c", ASK], self.environment())

    def environment(self) -> dict[str, str]:
        """Return what Airflow knows of its database."""
        core = find(self.objects, "ConfigMap", "environment-core")["data"]
        wanted = {name: core[name] for name in core if name.startswith("PORTAL_DATABASE_")}
        wanted |= {name: core[name] for name in core if name.startswith("AIRFLOW__DATABASE__")}
        return {
            **self.secret("airflow"),
            **{name: self._local(value) for name, value in wanted.items()},
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONPATH": str(RUNTIME / "plugins"),
        }

    def environment_of_programs(self) -> dict[str, str]:
        """Return what `migrate.py` has besides the address of the database."""
        return {
            "AIRFLOW_HOME": str(self.folder),
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "PYTHONPATH": str(RUNTIME / "plugins"),
            "PORTAL_READER": self.secret("tidy-comet-admin")["PORTAL_READER"],
            "PORTAL_AIRFLOW_VERSION": make_runtime().airflow_version,
        }

    def drop(self) -> str:
        """Run the job that drops database and roles; return what it complained of."""
        jobs = [one for one in self.objects if one["kind"] == "Job"]
        [job] = [one for one in jobs if one["metadata"]["name"].startswith("tidy-comet-drop")]
        [container] = job["spec"]["template"]["spec"]["containers"]
        return self.run([*container["args"], "--quiet"], self.secret("tidy-comet-admin"))

    def secret(self, name: str) -> dict[str, str]:
        data = find(self.objects, "Secret", name)["data"]
        return {key: self._local(b64decode(value).decode()) for key, value in data.items()}

    def _local(self, value: str) -> str:
        path = str(self.folder / "ca.pem")
        return value.replace(DATABASE_CA.replace("/", "%2F"), path).replace(DATABASE_CA, path)

    def run(self, command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return done.stdout
