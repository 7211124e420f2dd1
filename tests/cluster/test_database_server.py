"""A Deployment on a PostgreSQL server that several share: the local executor, to need little."""

from collections.abc import Iterator

import pytest

from apps.dataplane.kubernetes.config import ClusterConfig, DatabaseServer
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.cluster.node import Node
from tests.dataplane.specs import make_spec
from tests.dataplane.world import World, eventually

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

SERVER = """
apiVersion: v1
kind: Namespace
metadata: {name: servers}
---
apiVersion: v1
kind: Pod
metadata: {name: database, namespace: servers, labels: {app: database}}
spec:
  containers:
    - name: postgres
      image: postgres:15-bookworm
      env:
        - {name: POSTGRES_PASSWORD, value: of-the-server}
        - {name: PGDATA, value: /var/lib/postgresql/data/pg}
      readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}
      securityContext: {runAsUser: 999}
---
apiVersion: v1
kind: Service
metadata: {name: database, namespace: servers}
spec:
  selector: {app: database}
  ports: [{port: 5432}]
"""


@pytest.fixture(scope="module")
def server(node: Node) -> Iterator[DatabaseServer]:
    node.kubectl("apply", "-f", "-", given=SERVER)
    node.kubectl("wait", "-n", "servers", "--for=condition=Ready", "pod/database", "--timeout=90s")
    yield DatabaseServer(
        host="database.servers.svc.cluster.local",
        port=5432,
        user="postgres",
        password="of-the-server",
    )
    node.kubectl("delete", "namespace", "servers", "--wait=false")


def test_a_deployment_on_a_server_comes_up_and_leaves_no_database(
    node: Node, server: DatabaseServer
) -> None:
    config = ClusterConfig(
        connection=node.connection,
        portal_id="tests",
        airflow_url="http://localhost:8081",
        has_keda=False,
        database=server,
    )
    world = World(KubernetesPlane(config))

    def databases() -> str:
        command = ("exec", "-n", "servers", "database", "--", "psql", "-U", "postgres", "-l")
        return node.kubectl(*command)

    world.create(make_spec("calm-comet", executor="local", queues=()))
    world.succeeded("welcome", world.trigger("welcome"), seconds=240)

    assert "calm" in databases()
    world.delete()
    eventually(lambda: "calm" not in databases(), seconds=60)
    assert not node.exists("namespace", "airflow-calm-comet")
