"""Many Kubernetes APIs behind one address, each with some Airflows that are at rest.

    python -m bench.pretended_fleet DEPLOYMENTS_EACH

Cluster `n` is below `/c/n`, and has the Deployments from `n * DEPLOYMENTS_EACH` on. What is applied
to it is kept, and ready at once. It prints the connection to the address as JSON.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, INVENTORY, PORTAL_LABEL
from bench.pretended_cluster import Cluster
from tests.kubernetes.certificates import Authority
from tests.kubernetes.fault_proxy import server_context

DEPLOYMENTS = web.AppKey("deployments", int)
ASKED: web.AppKey[Counter[str]] = web.AppKey("asked", Counter)
KEPT_OBJECTS: web.AppKey[dict[str, dict[str, Any]]] = web.AppKey("kept", dict)
PLACE = re.compile(r"/c/(\d+)/")
IN_A_NAMESPACE = re.compile(r".*/namespaces/[^/]+/[^/]+")
READY = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
KEPT = {"inventory.json": json.dumps({"revision": 1, "wanted": 1, "entries": {}})}


class FleetCluster(Cluster):
    """One of the clusters: its Deployments have numbers of their own, and nothing changes."""

    def __init__(self, number: int, deployments: int, portal_id: str) -> None:
        super().__init__(deployments, portal_id)
        self.first = number * deployments

    def list(self, plural: str) -> list[tuple[int, str]]:
        names = {"configmaps": [INVENTORY]}.get(plural)
        found = super().list(plural)
        if names:
            found = [(number, INVENTORY) for number in range(self.namespaces)]
        return [(self.first + number, name) for number, name in found]

    def make(self, plural: str, number: int, name: str, *, ready: int = 1) -> dict[str, Any]:
        if plural != "configmaps":
            return super().make(plural, number, name, ready=ready)
        ref = f"etl-{number}-b{number:04d}"
        labels = {PORTAL_LABEL: self.portal_id, DEPLOYMENT_LABEL: ref}
        metadata = {"name": name, "namespace": f"airflow-{ref}", "uid": ref, "labels": labels}
        return {"metadata": metadata, "data": KEPT}


def fleet_app(deployments: int) -> web.Application:
    """Return the APIs; `ASKED` of it counts their requests by method."""
    app = web.Application()
    app[DEPLOYMENTS], app[ASKED], app[KEPT_OBJECTS] = deployments, Counter(), {}
    app.router.add_route("*", "/{rest:.*}", _answer)
    return app


async def _answer(request: web.Request) -> web.StreamResponse:
    request.app[ASKED][request.method] += 1
    place = PLACE.match(request.path)
    kept = request.app[KEPT_OBJECTS]
    if place and request.method == "PATCH":
        return web.json_response(_applied(kept, request.path, await request.json()))
    if place is None or request.method != "GET":
        raise web.HTTPNotFound
    if request.path in kept:
        return web.json_response(kept[request.path])
    if IN_A_NAMESPACE.fullmatch(request.path):
        found = [one for path, one in kept.items() if path.rpartition("/")[0] == request.path]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": found})
    if request.path.rpartition("/")[0].endswith(("/namespaces", "/configmaps")):
        raise web.HTTPNotFound
    selector = dict(
        one.partition("=")[::2] for one in request.query.get("labelSelector", "").split(",")
    )
    portal_id = selector.get(PORTAL_LABEL, "")
    cluster = FleetCluster(int(place[1]), request.app[DEPLOYMENTS], portal_id)
    plural = request.path.rpartition("/")[2]
    if plural == "configmaps" and "inventory" not in request.query.get("labelSelector", ""):
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
    items = [cluster.make(plural, *one) for one in cluster.list(plural)]
    return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


def _applied(kept: dict[str, dict[str, Any]], path: str, sent: dict[str, Any]) -> dict[str, Any]:
    """Keep an object as it was sent, with the status of one that is ready."""
    before = kept.get(path, {"metadata": {"generation": 0}})
    generation = before["metadata"]["generation"] + 1
    found = {"uid": path, "generation": generation, "resourceVersion": str(generation)}
    replicas = (sent.get("spec") or {}).get("replicas", 1)
    status: dict[str, Any] = {"observedGeneration": generation, **dict.fromkeys(READY, replicas)}
    if sent["kind"] == "Job":
        status = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
    kept[path] = {**sent, "metadata": {**sent["metadata"], **found}, "status": status}
    return kept[path]


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Connection]:
    """Listen meanwhile, and yield the connection to the address."""
    authority = Authority("fleet")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(authority))
    await site.start()
    yield Connection(
        server=f"https://127.0.0.1:{runner.addresses[0][1]}",
        ca_certificate=authority.certificate,
        token="t",  # noqa: S106 - opens nothing
    )
    await runner.cleanup()


async def main() -> None:
    async with serving(fleet_app(int(sys.argv[1]))) as connection:
        print(json.dumps(asdict(connection)), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
