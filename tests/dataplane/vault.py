"""A server that speaks Vault's API as far as a secrets backend asks (KV version 2), and a look into
it by Airflow's own provider.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import uv

TOKEN = "s.of-the-vault"
KEPT = {
    "/v1/kv/data/connections/lake": {"conn_uri": "postgres://u:p@lake.example.org/x"},
    "/v1/kv/data/variables/tier": {"value": "gold"},
    "/v1/kv/data/connections/portal_logs": {"conn_uri": "aws://taken:over@"},
}
PROVIDER = ("apache-airflow-providers-hashicorp", "hvac")
LOOK = """
import json, sys, time

plugins, packages, path = sys.argv[1:]
sys.path.insert(0, plugins)
import airflow.providers

airflow.providers.__path__.append(f"{packages}/airflow/providers")
from portal_secrets import PortalSecretsBackend

ours = PortalSecretsBackend(path)
looks = 1000
began = time.process_time()
for number in range(looks):
    assert ours.get_conn_value(f"other_{number}")
milliseconds = (time.process_time() - began) * 1000 / looks
print(json.dumps({
    "milliseconds": milliseconds,
    "own": ours.get_conn_value("warehouse"),
    "lake": ours.get_conn_value("lake"),
    "tier": ours.get_variable("tier"),
    "none": ours.get_variable("none"),
    "portal": ours.get_conn_value("portal_logs"),
}))
"""


class _Vault(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = KEPT.get(self.path)
        if self.headers.get("X-Vault-Token") != TOKEN:
            self._answer(403, {"errors": ["permission denied"]})
        elif found is None:
            self._answer(404, {"errors": []})
        else:
            self._answer(200, {"data": {"data": found, "metadata": {"version": 1}}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Say nothing of what is asked."""


@contextmanager
def running_vault() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Vault)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def looked_up(python: Path, folder: Path, document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return what our backend finds of a document in a real Airflow, and all that it logged."""
    packages, path = folder / "packages", folder / "objects.json"
    path.write_text(json.dumps(document))
    install = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    subprocess.run([*install, "--target", str(packages), *PROVIDER], check=True)
    plugins = Path(__file__).resolve().parents[2] / "runtime" / "plugins"
    done = subprocess.run(
        [str(python), "-c", LOOK, str(plugins), str(packages), str(path)],
        env={**os.environ, "PYTHONPATH": str(packages), "AIRFLOW_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said, done.stdout + done.stderr
