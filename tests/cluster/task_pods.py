"""An Airflow whose tasks are pods, which the last files of this folder share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.production import ProductionSpec
from tests.cluster.registry import Mirror, sign_in
from tests.dataplane.contract import BROKEN
from tests.dataplane.specs import make_code, make_spec
from tests.dataplane.world import World

DAG = """
import socket

from airflow.sdk import dag, task


@dag(schedule=None)
def pods():
    @task
    def where():
        print("I ran in", socket.gethostname())
        return socket.gethostname()

    @task
    def check(name):
        assert name != socket.gethostname()

    check(where())


pods()
"""
HOSTILE = """
from airflow.sdk import dag, task
from kubernetes.client import models as k8s


def describing(**spec):
    return {"pod_override": k8s.V1Pod(spec=k8s.V1PodSpec(**{"containers": [], **spec}))}


def with_all_keys():
    source = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="airflow"))
    return describing(containers=[k8s.V1Container(name="base", env_from=[source])])


def disguised():
    labels = {"app.kubernetes.io/component": "api-server"}
    return {"pod_override": k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels=labels))}


@dag(schedule=None)
def hostile():
    @task(executor_config=with_all_keys())
    def reads_keys():
        pass

    @task(
        executor_config=describing(
            service_account_name="scheduler", automount_service_account_token=True
        )
    )
    def is_the_scheduler():
        pass

    @task(executor_config=disguised())
    def is_the_api_server():
        pass

    @task(
        executor_config={
            "pod_override": k8s.V1Pod(metadata=k8s.V1ObjectMeta(labels={"team": "blue"}))
        }
    )
    def is_friendly():
        pass

    reads_keys()
    is_the_scheduler()
    is_the_api_server()
    is_friendly()


hostile()
"""
OPERATORS = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s

ALL_KEYS = k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name="airflow"))

with DAG("operators", schedule=None):
    plain = {"image": "apache/airflow:3.3.2", "cmds": ["bash", "-c", "echo I am $(id -u)"]}
    KubernetesPodOperator(task_id="starts_a_pod", name="mine", **plain)
    KubernetesPodOperator(task_id="takes_keys", name="keys", env_from=[ALL_KEYS], **plain)
"""


@contextmanager
def world_with_task_pods(mirror: Mirror, folder: Path) -> Iterator[World]:
    """Yield it with every image from a mirror, and an exporter for a Prometheus."""
    config = ClusterConfig(
        connection=mirror.node.connection,
        portal_id="tests",
        airflow_url="http://localhost:8081",
        has_keda=True,
        scale_down_seconds=30,
        may_scale=True,
        image_mirror=mirror.path,
        image_pull_secret=sign_in(mirror.registry),
    )
    world = World(KubernetesPlane(config))
    files = {"pods.py": DAG, "hostile.py": HOSTILE, "operators.py": OPERATORS, **BROKEN}
    settings = ProductionSpec(pod_operator=True, prometheus=True)
    code = make_code(folder, files)
    spec = make_spec("still-comet", executor="kubernetes", queues=(), code=code, settings=settings)
    world.create(spec)
    yield world
    world.delete()
