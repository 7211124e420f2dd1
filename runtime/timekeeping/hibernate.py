"""Bring an Airflow on a cluster to what its plan says of now: asleep or awake.

CronJobs start this at the times of the plan, whether the portal is there or not. The plan is in a
ConfigMap and read again before each step: what people change meanwhile holds at once. It is read
with the portal's own modules, which lie beside this file, so that both agree on every moment.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from apps.dataplane.hibernation.plans import plan_from_json
from apps.dataplane.hibernation.turns import hibernates_since, is_hibernating

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PLAN = "hibernation"
PAUSED = "autoscaling.keda.sh/paused-replicas"
MANAGER = "astro-portal-hibernation"
MERGE = "application/merge-patch+json"
PAUSE_SECONDS, ANSWER_SECONDS = 5, 30
ENDED = ("Succeeded", "Failed")


class Cluster:
    """The namespace of one Deployment, as the pod's own account."""

    def __init__(self, server: str, account: Path) -> None:
        self.server, self.account = server, account
        self.namespace = (account / "namespace").read_text().strip()
        self.trust = ssl.create_default_context(cafile=str(account / "ca.crt"))

    def call(
        self, method: str, api: str, path: str, body: dict[str, Any] | None = None, **query: str
    ) -> dict[str, Any]:
        url = f"{self.server}/{api}/namespaces/{self.namespace}/{path}"
        request = urllib.request.Request(  # noqa: S310 - the cluster's own address, https
            f"{url}?{urlencode(query)}" if query else url,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                # Kubernetes replaces the token while the pod runs.
                "Authorization": f"Bearer {(self.account / 'token').read_text().strip()}",
                "Content-Type": MERGE if method == "PATCH" else "application/json",
            },
        )
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=ANSWER_SECONDS, context=self.trust
        ) as answer:
            return json.load(answer)

    def plan(self) -> dict[str, Any]:
        found = self.call("GET", "api/v1", f"configmaps/{PLAN}")
        return json.loads(found["data"]["plan.json"])

    def scale(self, name: str, *, wanted: int, only_from: int | None = None) -> bool:
        """Set the pods of a workload, and return whether that changed anything. One that has
        another number than `only_from` is left alone.
        """
        path = f"deployments/{quote(name)}/scale"
        now = self.call("GET", "apis/apps/v1", path)["spec"].get("replicas", 0)
        if now == wanted or (only_from is not None and now != only_from):
            return False
        say(f"{name}: {now} to {wanted}")
        change = {"spec": {"replicas": wanted}}
        self.call("PATCH", "apis/apps/v1", path, change, fieldManager=MANAGER)
        return True

    def pause(self, name: str, *, paused: bool) -> bool:
        """Let KEDA keep the workers of a queue at none, or count tasks again."""
        path = f"scaledobjects/{quote(name)}"
        metadata = self.call("GET", "apis/keda.sh/v1alpha1", path)["metadata"]
        value = (metadata.get("annotations") or {}).get(PAUSED)
        # What people paused at another number is theirs.
        if (value == "0") == paused or value not in (None, "0"):
            return False
        say(f"{name}: {'pauses' if paused else 'follows its tasks again'}")
        change = {"metadata": {"annotations": {PAUSED: "0" if paused else None}}}
        self.call("PATCH", "apis/keda.sh/v1alpha1", path, change, fieldManager=MANAGER)
        return True

    def task_pods(self, selector: str) -> list[dict[str, Any]]:
        found = self.call("GET", "api/v1", "pods", labelSelector=selector)["items"]
        return [one for one in found if one.get("status", {}).get("phase") not in ENDED]

    def end(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        say(f"{metadata['name']}: its tasks took too long, it is ended")
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        try:
            self.call("DELETE", "api/v1", f"pods/{quote(metadata['name'])}", body)
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409):
                raise


def turn(cluster: Cluster, now: datetime) -> bool:
    """Do what can be done now; return whether something is left to do, or to look at again."""
    told = cluster.plan()
    plan = plan_from_json(told["plan"])
    if not is_hibernating(plan, now):
        return wake(cluster, told)
    changed = [cluster.pause(name, paused=True) for name in told["scalers"]]
    changed += [cluster.scale(name, wanted=0) for name in told["first"]]
    pods = cluster.task_pods(told["tasks"])
    if pods:
        # They report to the api-server, which stays as long as one is there.
        if now >= hibernates_since(plan, now) + timedelta(minutes=plan.task_minutes):
            for pod in pods:
                cluster.end(pod)
        return True
    changed += [cluster.scale(name, wanted=0) for name in told["last"]]
    return any(changed)


def wake(cluster: Cluster, told: dict[str, Any]) -> bool:
    """Start what has no pod. A number that people chose meanwhile is theirs, or the portal's."""
    everything = {**told["last"], **told["first"]}
    changed = [cluster.scale(name, wanted=n, only_from=0) for name, n in everything.items()]
    return any(changed + [cluster.pause(name, paused=False) for name in told["scalers"]])


def own_cluster() -> str:
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def say(text: str) -> None:
    print(text, flush=True)


def main(server: str = "", account: str = str(ACCOUNT)) -> int:
    cluster = Cluster(server or own_cluster(), Path(account))
    while True:
        try:
            if not turn(cluster, datetime.now(UTC)):
                return 0
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                say(f"The cluster refuses it ({error.code}): {error.url}")
                return 1
            say(f"The cluster answers with {error.code}; trying again")
        except OSError as error:
            say(f"The cluster does not answer ({error}); trying again")
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
