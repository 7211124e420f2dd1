"""An Airflow whose tasks are pods (KubernetesExecutor), what its network lets through, what it is
measured by, and the mirror that its images come from.
"""

import re
import time
from typing import Any

import pytest

from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.render.prometheus import exporter
from tests.cluster.node import Node
from tests.cluster.registry import Mirror
from tests.dataplane.contract import assert_a_broken_dag_is_told
from tests.dataplane.world import World, eventually

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

STRANGER = """
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: default}
spec:
  containers:
    - name: stranger
      image: apache/airflow:3.3.2
      args: [bash, -c, sleep infinity]
"""
# As kube-prometheus has it, by which the exporter lets it in.
PROMETHEUS = """
apiVersion: v1
kind: Pod
metadata: {name: prometheus, namespace: default, labels: {app.kubernetes.io/name: prometheus}}
spec:
  containers:
    - name: prometheus
      image: apache/airflow:3.3.2
      args: [bash, -c, sleep infinity]
"""
SCRAPES = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://{sys.argv[1]}/metrics", timeout=10).read().decode())
"""
# Those that docs/clusters.md names.
SERIES = {
    'airflow_ti_finish{dag_id="pods",state="success",task_id="where"} 1',
    'airflow_ti_finish{dag_id="pods",state="success",task_id="check"} 1',
    'airflow_dagrun_duration_count{dag_id="pods"} 1',
    'airflow_pool_open_slots{pool="default_pool"} 128',
}
CONNECTS = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
except OSError:
    print("closed")
else:
    print("open")
"""


def test_every_task_is_a_pod_whose_log_outlives_it(world: World, node: Node) -> None:
    run = world.succeeded("pods", world.trigger("pods"), seconds=240)

    assert {task["try_number"] for task in run["tasks"]} == {1}
    eventually(lambda: not _task_pods(node), seconds=60)
    path = f"/api/v2/dags/pods/dagRuns/{run['dag_run_id']}/taskInstances/where/logs/1"
    assert "I ran in" in str(world.airflow("GET", path)["content"])


def test_a_prometheus_finds_what_airflow_itself_sent(world: World, node: Node) -> None:
    """After the run of the test above, which this makes where it is asked alone."""
    if not world.airflow("GET", "/api/v2/dags/pods/dagRuns")["total_entries"]:
        world.succeeded("pods", world.trigger("pods"), seconds=240)
    node.kubectl("apply", "-f", "-", given=PROMETHEUS)
    node.kubectl("wait", "--for=condition=Ready", "pod/prometheus", "--timeout=100s")
    address = f"statsd.{namespace_of('still-comet')}.svc.cluster.local:9102"

    def scraped() -> str:
        return node.kubectl("exec", "prometheus", "--", "python3", "-c", SCRAPES, address)

    eventually(lambda: set(scraped().splitlines()) >= SERIES, seconds=60)
    (beats,) = re.findall(r"^airflow_scheduler_heartbeat (\d+)$", scraped(), re.MULTILINE)
    assert int(beats) > 1
    node.kubectl("delete", "pod", "prometheus", "--now")


def test_a_mirror_that_lacks_an_image_is_named_until_it_has_it(
    world: World, node: Node, mirror: Mirror
) -> None:
    assert world.spec
    namespace, image = namespace_of("still-comet"), f"{mirror.path}/{exporter.IMAGE}"
    pods = node.objects("pods", namespace)
    specs = [pod["spec"] for pod in pods]
    started = [(*one["containers"], *one.get("initContainers", ())) for one in specs]
    images = {container["image"] for containers in started for container in containers}
    began = time.monotonic()

    def said() -> str:
        steps = world.plane.apply(spec=world.spec).steps
        return " ".join(step.detail for step in steps if step.state == "running")

    with mirror.without(exporter.IMAGE):
        exporters = ("-n", namespace, "delete", "pods", "-l", "app.kubernetes.io/component=statsd")
        node.kubectl(*exporters, "--wait=false")
        sentence = f"The image {image} cannot be pulled from {mirror.registry.host}"
        message = eventually(lambda: found if sentence in (found := said()) else "", seconds=90)
        named = time.monotonic() - began
        seen = {one.name: one.detail for one in world.plane.observe(ref="still-comet").components}
    eventually(lambda: world.plane.apply(spec=world.spec).is_done, seconds=120)

    assert all(one.startswith(f"{mirror.path}/") for one in images), images
    assert "The registry does not have it" in message
    assert "A registry mirror needs a copy at this path" in message
    assert sentence in seen["statsd"]
    print(f"named after {named:.0f} s, healthy after {time.monotonic() - began:.0f} s")


def test_a_dag_gets_neither_keys_nor_accounts_of_airflow_into_its_pods(world: World) -> None:
    run = world.finished_run("hostile", world.trigger("hostile"), seconds=300)

    states = {task["task_id"]: task["state"] for task in run["tasks"]}
    assert states == {
        "reads_keys": "failed",
        "is_the_scheduler": "failed",
        "is_the_api_server": "failed",
        "is_friendly": "success",
    }
    log = world.plane.logs(ref="still-comet", component="scheduler", contains="A task pod")
    assert log.lines


def test_a_task_starts_a_pod_and_reads_its_log_but_gives_it_no_keys(world: World) -> None:
    run = world.finished_run("operators", world.trigger("operators"), seconds=300)

    states = {task["task_id"]: task["state"] for task in run["tasks"]}
    assert states == {"starts_a_pod": "success", "takes_keys": "failed"}
    path = f"/api/v2/dags/operators/dagRuns/{run['dag_run_id']}/taskInstances"
    assert "I am 50000" in str(world.airflow("GET", f"{path}/starts_a_pod/logs/1")["content"])
    assert "A task pod has no variables" in str(
        world.airflow("GET", f"{path}/takes_keys/logs/1")["content"]
    )


def test_a_dag_that_cannot_be_imported_is_told(world: World) -> None:
    assert world.spec
    assert isinstance(world.plane, KubernetesPlane)
    assert_a_broken_dag_is_told(world.plane, world.spec)
    assert world.plane.live_metrics(spec=world.spec).import_errors == 1


def _task_pods(node: Node) -> list[dict[str, Any]]:
    pods = node.objects("pods", namespace_of("still-comet"))
    return [
        pod
        for pod in pods
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "task"
    ]


def test_a_pod_of_others_reaches_no_database(world: World, node: Node) -> None:
    node.kubectl("apply", "-f", "-", given=STRANGER)
    node.kubectl("wait", "--for=condition=Ready", "pod/stranger", "--timeout=100s")
    namespace = namespace_of("still-comet")

    def sees(host: str, port: int) -> str:
        command = ("exec", "stranger", "--", "python3", "-c", CONNECTS, host, str(port))
        return node.kubectl(*command).strip()

    assert sees(f"api-server.{namespace}.svc.cluster.local", 8080) == "open"
    assert sees(f"postgres.{namespace}.svc.cluster.local", 5432) == "closed"
    node.kubectl("delete", "pod", "stranger", "--now")


def test_a_database_answers_and_asks_nobody(world: World, node: Node) -> None:
    namespace = ("-n", namespace_of("still-comet"))

    def sees(pod: str, host: str, port: int) -> str:
        command = ("exec", pod, "--", "python3", "-c", CONNECTS, host, str(port))
        return node.kubectl(*namespace, *command).strip()

    assert sees("deployment/scheduler", "postgres", 5432) == "open"
    assert sees("deployment/scheduler", "api-server", 8080) == "open"
    assert sees("postgres-0", "api-server", 8080) == "closed"
