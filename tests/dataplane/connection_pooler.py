"""PgBouncer in transaction mode, set up as the operating guide says."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.dataplane.postgres_servers import ACCOUNT, PASSWORD, USER

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} auth_user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
pool_mode = transaction
default_pool_size = 3
server_tls_sslmode = require
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def connection_pooler(server: int) -> Iterator[int]:
    """Run it in front of the server at a port; yield its own."""
    files = {
        "pgbouncer.ini": SETTINGS.replace("{server}", str(server)).replace("{user}", USER),
        "users.txt": f'"{USER}" "{PASSWORD}"\n',
    }
    with running(files) as port:
        yield port


@contextmanager
def running(files: Mapping[str, str]) -> Iterator[int]:
    """Run it with these files, in which `{folder}` and `{port}` are its own; yield the port."""
    folder = Path(tempfile.mkdtemp(prefix="astro-portal-pooler-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    for name, text in files.items():
        own = text.replace("{folder}", str(folder)).replace("{port}", str(port))
        (folder / name).write_text(own)
    if ACCOUNT:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, ACCOUNT, ACCOUNT)
    command = [str(PROGRAM), "--quiet", str(folder / "pgbouncer.ini")]
    with (folder / "log").open("wb") as log:
        pooler = subprocess.Popen(command, stdout=log, stderr=log, user=ACCOUNT, cwd="/")
    try:
        _wait(port, pooler, folder / "log")
        yield port
    finally:
        pooler.kill()
        pooler.wait()
        shutil.rmtree(folder)


def _wait(port: int, pooler: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert pooler.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
