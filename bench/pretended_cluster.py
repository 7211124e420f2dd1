"""A Kubernetes API that has many namespaces, each with the objects of an Airflow, and nothing else.

    python -m bench.pretended_cluster NAMESPACES PORTAL_ID

It prints its connection as JSON. Objects are made up as they are asked for. From the first watch of
workloads on, 50 times a second the scheduler of some namespace ends or starts.
"""

import asyncio
import itertools
import json
import sys
from dataclasses import asdict
from typing import Any

from aiohttp import web

from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, DEPLOYMENT_LABEL, PORTAL_LABEL
from tests.kubernetes.certificates import Authority
from tests.kubernetes.fault_proxy import server_context

PODS, EVENTS_PER_SECOND = 20, 50
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer", "worker-default")
# What a real object carries besides what is read.
BALLAST = {
    "managedFields": [{"manager": "astro-portal", "fieldsV1": {"f": "x" * 120}} for _ in range(30)]
}


class Cluster:
    def __init__(self, namespaces: int, portal_id: str) -> None:
        self.namespaces, self.portal_id = namespaces, portal_id
        self.version = itertools.count(100)

    def list(self, plural: str) -> list[tuple[int, str]]:
        """Return number of the namespace and name of each object of a kind."""
        names = {
            "namespaces": [""],
            "deployments": list(COMPONENTS),
            "pods": [f"worker-default-7c9f-{number}" for number in range(PODS)],
        }.get(plural, [])
        return [(number, name) for number in range(self.namespaces) for name in names]

    def make(self, plural: str, number: int, name: str, *, ready: int = 1) -> dict[str, Any]:
        ref = f"etl-{number}-b{number:04d}"
        component = "worker" if plural == "pods" else name
        labels = {PORTAL_LABEL: self.portal_id, DEPLOYMENT_LABEL: ref, COMPONENT_LABEL: component}
        version = str(next(self.version))
        metadata = {"uid": f"{plural}-{number}-{name}", "generation": 1, "labels": labels}
        metadata |= {"resourceVersion": version, "creationTimestamp": "2026-11-22T10:00:00Z"}
        home = f"airflow-{ref}"
        if plural == "namespaces":
            return {"metadata": {**metadata, "name": home}, "status": {"phase": "Active"}}
        metadata |= {"name": name, "namespace": home, **BALLAST}
        made: dict[str, Any] = {"metadata": metadata}
        if plural == "pods":
            state = {"name": "worker", "ready": True, "restartCount": 0, "state": {"running": {}}}
            metadata["ownerReferences"] = [{"kind": "ReplicaSet", "name": "worker-default-7c9f"}]
            container = {
                "name": "worker",
                "env": [{"name": f"E{n}", "value": "v"} for n in range(30)],
            }
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22"}
            status = {"phase": "Running", "conditions": [condition], "containerStatuses": [state]}
            return made | {"spec": {"containers": [container]}, "status": status}
        counts = dict.fromkeys(("replicas", "updatedReplicas"), 1)
        counts |= dict.fromkeys(("readyReplicas", "availableReplicas"), ready)
        return made | {"spec": {"replicas": 1}, "status": {"observedGeneration": 1, **counts}}


async def answer(request: web.Request) -> web.StreamResponse:
    cluster: Cluster = request.app["cluster"]
    plural = request.path.rpartition("/")[2]
    if request.query.get("watch"):
        return await stream(request, cluster, plural)
    everything = cluster.list(plural)
    start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
    page = everything[start : start + limit]
    metadata = {"resourceVersion": str(next(cluster.version))}
    if start + limit < len(everything):
        metadata["continue"] = str(start + limit)
    items = [cluster.make(plural, *one) for one in page]
    return web.json_response({"metadata": metadata, "items": items})


async def stream(request: web.Request, cluster: Cluster, plural: str) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + float(request.query["timeoutSeconds"])
    for number in itertools.count():
        if loop.time() > ends_at:
            return response
        if plural != "deployments":
            await asyncio.sleep(0.5)
            continue
        at = number * 7919 % cluster.namespaces
        is_ready = number // cluster.namespaces % 2
        changed = cluster.make(plural, at, "scheduler", ready=is_ready)
        known = {"kind": "Deployment", "apiVersion": "apps/v1"}
        event = {"type": "MODIFIED", "object": {**known, **changed}}
        try:
            await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionError:
            return response
        await asyncio.sleep(1 / EVENTS_PER_SECOND)
    return response


async def main() -> None:
    authority = Authority("pretended")
    app = web.Application()
    app["cluster"] = Cluster(int(sys.argv[1]), sys.argv[2])
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(authority))
    await site.start()
    port = runner.addresses[0][1]
    connection = Connection(
        server=f"https://127.0.0.1:{port}",
        ca_certificate=authority.certificate,
        token="t",  # noqa: S106 - opens nothing
    )
    print(json.dumps(asdict(connection)), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
