"""A storage test on the real node: pods write to volumes, are refused by one, and leave nothing."""

from dataclasses import replace

import pytest

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.registration.storage_trial import try_storage
from tests.cluster.node import Node

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

# A folder of root's on the node, to which fsGroup is not applied.
CLOSED = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: closed}
provisioner: kubernetes.io/no-provisioner
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: closed}
spec:
  storageClassName: closed
  accessModes: [ReadWriteMany]
  capacity: {storage: 10Gi}
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /run/closed-to-pods, type: DirectoryOrCreate}
"""


@pytest.fixture
def config(node: Node) -> ClusterConfig:
    return ClusterConfig(
        connection=node.connection,
        portal_id="storage",
        airflow_url="http://localhost:8081",
        has_keda=False,
    )


def is_clean(node: Node) -> bool:
    return not node.exists("namespaces", "-l", "astro-portal.dev/storage-test=storage")


def test_pods_write_to_volumes_and_nothing_is_left(node: Node, config: ClusterConfig) -> None:
    found = try_storage(Api(config.connection), config)

    assert [(one.title, one.is_ok) for one in found] == [
        ("Storage of logs and code", True),
        ("Storage of databases", True),
    ], found
    assert "Two pods wrote, read and deleted each other's files" in found[0].detail
    assert "They ran on one node" in found[0].detail
    assert is_clean(node)


def test_a_volume_that_refuses_airflow_is_said(node: Node, config: ClusterConfig) -> None:
    node.kubectl("apply", "-f", "-", given=CLOSED)

    found = try_storage(Api(config.connection), replace(config, logs_storage_class="closed"))

    node.kubectl("delete", "-f", "-", given=CLOSED)
    assert "the file system refuses user 50000" in found[0].detail, found
    assert found[1].is_ok
    assert is_clean(node)
