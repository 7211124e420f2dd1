"""What the benches of the Kubernetes plane share: an API server, and the plain way to talk to it.

Only etcd and the API server run, so nothing else runs in the cluster. The peer is `http.client`
over one connection that stays open: the least that any program must do.
"""

import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    EVENT,
    INGRESS,
    KINDS,
    STORAGE_CLASS,
    Manifest,
    kind_of,
)
from apps.dataplane.kubernetes.apply.apply_pass import ApplyPass
from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.dataplane.kubernetes.names import FIELD_MANAGER, PORTAL_LABEL
from apps.dataplane.kubernetes.observe.survey import WHOLE, selection_of_inventories
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.spec import DeploymentSpec
from tests.dataplane.specs import make_spec
from tests.kubernetes import assets
from tests.kubernetes.running import RunningControlPlane, running_control_plane

METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
LISTED = [kind for kind in KINDS if kind not in (AUTOSCALER, EVENT, INGRESS, STORAGE_CLASS)]
_numbers = count(1)


class LeftOut(Exception):
    """This machine has no control plane; the message explains how to get one."""


@contextmanager
def cluster() -> Iterator[tuple[RunningControlPlane, ClusterConfig]]:
    reason = assets.why_left_out()
    if reason:
        raise LeftOut(reason)
    with (
        tempfile.TemporaryDirectory(prefix="astro-portal-bench-") as folder,
        running_control_plane(Path(folder), is_bare=True) as plane,
    ):
        yield (
            plane,
            ClusterConfig(
                connection=plane.connection,
                portal_id="bench",
                airflow_url="http://airflow.invalid",
                has_keda=True,
            ),
        )


def new_spec(**changes: Any) -> DeploymentSpec:
    return make_spec(f"bench-{next(_numbers)}", **changes)


def stages_of(spec: DeploymentSpec, config: ClusterConfig) -> tuple[Stage, ...]:
    """Return what is rendered, with nothing to wait for: here no pod ever runs."""
    return tuple(replace(stage, waits=False) for stage in render(spec=spec, config=config))


def manifests_of(spec: DeploymentSpec, config: ClusterConfig) -> list[Manifest]:
    return [item for stage in render(spec=spec, config=config) for item in stage.objects]


def apply(spec: DeploymentSpec, config: ClusterConfig) -> None:
    """Do what the driver does for a new revision."""
    api, stages = Api(config.connection), stages_of(spec, config)
    ApplyPass(api=api, portal_id=config.portal_id, spec=spec, stages=stages).run()


def seconds_of(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


class Raw:
    """One connection that stays open, and nothing else."""

    def __init__(self, connection: Connection) -> None:
        context = ssl.create_default_context(cadata=connection.ca_certificate)
        self._headers = {"Authorization": f"Bearer {connection.token}"}
        host = urlsplit(connection.server).netloc
        self._connection = http.client.HTTPSConnection(host, context=context, timeout=60)

    def patch(self, manifest: Manifest) -> int:
        """Send a server-side apply; return the size of the response."""
        kind, metadata = kind_of(manifest), manifest["metadata"]
        namespace = metadata.get("namespace", "") if kind.is_namespaced else ""
        path = kind.path(namespace=namespace, name=metadata["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        body = json.dumps(manifest).encode()
        return len(self._ask("PATCH", f"{path}?{urlencode(query)}", headers, body))

    def list_all(self, config: ClusterConfig) -> tuple[int, set[str]]:
        """Read every object of the portal, page by page, as much of each as an observation needs.

        Returns how many requests that took, and each object's place and version.
        """
        requests, versions = 0, set()
        labels = [(kind, f"{PORTAL_LABEL}={config.portal_id}") for kind in LISTED]
        for kind, label in [*labels, (CONFIG_MAP, selection_of_inventories(config))]:
            is_whole = kind in WHOLE or "," in label
            headers = {"Accept": "application/json" if is_whole else METADATA}
            query = {"limit": "500", "labelSelector": label}
            while "continue" not in query or query["continue"]:
                requests += 1
                page = json.loads(
                    self._ask("GET", f"{kind.path()}?{urlencode(query)}", headers, None)
                )
                for item in page["items"] or ():
                    metadata = item["metadata"]
                    versions.add(f"{metadata['uid']} {metadata['resourceVersion']}")
                query["continue"] = page["metadata"].get("continue", "")
        return requests, versions

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> bytes:
        self._connection.request(method, path, body=body, headers={**self._headers, **headers})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data
