"""The contract of data planes, kept by the Kubernetes plane against a real API server."""

from dataclasses import replace

import pytest

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.dataplane.contract import PlaneContract
from tests.dataplane.specs import DEFAULT_QUEUE, make_spec


class TestKubernetesPlane(PlaneContract):
    @pytest.fixture
    def plane(self, cluster_config: ClusterConfig) -> KubernetesPlane:
        return KubernetesPlane(cluster_config)

    def test_it_refuses_what_it_cannot_run(self, plane: DataPlane) -> None:
        queue = replace(DEFAULT_QUEUE, size="A9000")

        with pytest.raises(Permanent) as raised:
            plane.apply(spec=make_spec("odd-one", queues=(queue,)))

        assert raised.value.message.endswith(".")
