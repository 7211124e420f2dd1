"""Figures through a real API server: an Airflow by its service proxy, metrics by its aggregation.

What answers behind it stands in: no node runs here, so nothing uses memory.
"""

import asyncio
import json
import secrets
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import yaml
from aiohttp import web

from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration.permissions import manifest
from apps.dataplane.status import LiveMetrics, Usage
from tests.dataplane.kubernetes_driver.test_figures import COUNTS, METRICS
from tests.dataplane.specs import make_spec
from tests.dataplane.world import eventually
from tests.kubernetes.conftest import config_of
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.running import RunningControlPlane
from tests.kubernetes.stand_in import own_address, standing_in

pytestmark = pytest.mark.skipif(
    not own_address(), reason="This machine has no address but loopback, which no Service reaches."
)
GROUP = "/apis/metrics.k8s.io/v1beta1"
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": "metrics.k8s.io/v1beta1",
    "resources": [
        {
            "name": "pods",
            "singularName": "",
            "namespaced": True,
            "kind": "PodMetrics",
            "verbs": ["get", "list"],
        }
    ],
}


class MetricsServer(BaseHTTPRequestHandler):
    """Answers as metrics-server does; `asked` are the label selectors."""

    asked: list[str] = []  # noqa: RUF012 - shared by all requests, as a server's log is

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == f"{GROUP}/namespaces/airflow-x/pods":
            self.asked.extend(parse_qs(address.query).get("labelSelector", []))
        known = {GROUP: RESOURCES, f"{GROUP}/namespaces/airflow-x/pods": METRICS}
        said = known.get(address.path.rstrip("/"))
        body = json.dumps(said or {}).encode()
        self.send_response(200 if said else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def metrics_server(plane: RunningControlPlane, folder: Path) -> Iterator[None]:
    """Register one with the API server, as the manifest of metrics-server does."""
    signed = plane.authority.server("localhost")
    pair = folder / "metrics.pem"
    pair.write_text(signed.certificate + signed.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    server = ThreadingHTTPServer(("127.0.0.1", 0), MetricsServer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        _register(plane, server.server_port)
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _register(plane: ControlPlane, port: int) -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    group, _, version = "metrics.k8s.io/v1beta1".partition("/")
    registered = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": port},
        },
    }
    plane.create(service, registered)
    name = registered["metadata"]["name"]
    plane.kubectl("wait", "--for=condition=Available", f"apiservice/{name}", "--timeout=60s")


def least(plane: ControlPlane) -> KubernetesPlane:
    """Return the plane of an account that has what the manifest gives."""
    (role,) = [item for item in yaml.safe_load_all(manifest()) if item["kind"] == "ClusterRole"]
    token = plane.service_account(f"least-{secrets.token_hex(3)}", rules=role["rules"])
    return KubernetesPlane(config_of(plane.connection_with(token=token)))


def ask(plane: KubernetesPlane, cluster: ControlPlane) -> LiveMetrics:
    """Ask while an Airflow stands behind the service proxy that believes the portal alone."""
    spec = make_spec("x")

    async def counts(request: web.Request) -> web.Response:
        claims = jwt.decode(
            request.cookies.get("_token", ""),
            spec.secrets.jwt_secret,
            algorithms=["HS512"],
            audience="apache-airflow",
        )
        return web.json_response(COUNTS, status=200 if claims["role"] == "admin" else 403)

    async def run() -> LiveMetrics:
        app = web.Application()
        app.router.add_get("/x/auth/portal/counts", counts)
        async with standing_in(cluster, "x", app):
            return await asyncio.to_thread(plane.live_metrics, spec=spec)

    # In a thread of its own: a browser of another file may have an event loop in this one.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, run()).result()


def test_figures_come_with_the_least_permissions(
    own_control_plane: RunningControlPlane, tmp_path: Path
) -> None:
    plane = least(own_control_plane)
    without = ask(plane, own_control_plane)
    token = own_control_plane.service_account("poor", rules=[])
    poor_plane = KubernetesPlane(config_of(own_control_plane.connection_with(token=token)))
    poor = poor_plane.live_metrics(spec=make_spec("x"))
    poor_plane.close()

    with metrics_server(own_control_plane, tmp_path):
        eventually(lambda: plane.live_metrics(spec=make_spec("x")).usage is not None, seconds=20)
        MetricsServer.asked.clear()
        live_metrics = ask(plane, own_control_plane)
    gone = plane.live_metrics(spec=make_spec("x"))
    plane.close()

    assert without.tasks == live_metrics.tasks == {"default": (31, 4)}
    assert without.usage is None
    assert without.usage_unknown == "The cluster has no metrics server."
    assert "role to apply" in poor.usage_unknown
    assert poor.tasks is None
    assert live_metrics.usage is not None
    assert live_metrics.usage["scheduler"] == Usage(memory_bytes=512 * 1024**2, cpu_millis=123)
    assert len(MetricsServer.asked) == 1
    assert "metrics server does not answer" in gone.usage_unknown
    assert gone.tasks_unknown == "The API server of this Deployment does not answer."
