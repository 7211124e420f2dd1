"""An HTTP server that stands in for an Airflow behind a Service of a real cluster.

The service proxy connects only to addresses of pods, and never to loopback ones: a pod that no node
runs is given this machine's own address.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from apps.dataplane.kubernetes.names import namespace_of
from tests.kubernetes.control_plane import ControlPlane


def own_address() -> str:
    """Return an address of this machine that is not loopback, "" if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
    return "" if address.startswith("127.") else address


@asynccontextmanager
async def standing_in(plane: ControlPlane, ref: str, app: web.Application) -> AsyncIterator[None]:
    """Let `app` answer what goes to the Airflow of a Deployment."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, own_address(), 0).start()
    try:
        await asyncio.to_thread(_publish, plane, namespace_of(ref), runner.addresses[0][1])
        yield
    finally:
        await runner.cleanup()


def _publish(plane: ControlPlane, namespace: str, port: int) -> None:
    address = own_address()
    pod = {"kind": "Pod", "name": "stand-in", "namespace": namespace}
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "api-server", "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stand-in", "namespace": namespace},
            "spec": {"schedulerName": "nobody", "containers": [{"name": "none", "image": "none"}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "api-server",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": "api-server"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "targetRef": pod}],
            "ports": [{"name": "http", "port": port}],
        },
        # The service proxy of older API servers reads these; the controllers make both, too.
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "api-server",
                "namespace": namespace,
                # Or a controller makes a second slice of it.
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [
                {
                    "addresses": [{"ip": address, "targetRef": pod}],
                    "ports": [{"name": "http", "port": port}],
                }
            ],
        },
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    plane.kubectl("apply", "-f", "-", given=listed)
    status = json.dumps({"status": {"podIP": address, "podIPs": [{"ip": address}]}})
    plane.kubectl(
        "patch", "pod", "stand-in", "-n", namespace, "--subresource=status", "--type=merge",
        f"--patch={status}",
    )  # fmt: skip
