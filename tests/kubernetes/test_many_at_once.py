"""The same order delivered many times, in any order, has one effect: fault 23."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress
from tests.dataplane.specs import make_runtime
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import differences, generations, settle, small_spec

TIMES, AT_ONCE = 10, 3


def applied(plane: KubernetesPlane, spec: DeploymentSpec) -> Progress | Temporary:
    try:
        return plane.apply(spec=spec)
    except Temporary as error:
        return error


def of_image(ref: str, number: int) -> DeploymentSpec:
    runtime = replace(make_runtime(), image=f"example/airflow:{number}")
    return small_spec(ref, revision=number, runtime=runtime)


def test_ten_deliveries_make_one_deployment(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane, spec = KubernetesPlane(cluster_config), small_spec(ref)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(2):
            list(pool.map(lambda _: applied(plane, spec), range(TIMES)))
    settle(plane, spec)

    assert differences(control_plane, cluster_config, spec) == ""
    assert set(generations(control_plane, ref).values()) == {1}
    assert len(control_plane.objects("jobs", namespace_of(ref))) == 1
    replicas = control_plane.objects("replicasets", namespace_of(ref))
    assert len(replicas) == len(generations(control_plane, ref))


def test_orders_that_arrive_in_another_order_end_at_the_newest(
    control_plane: ControlPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    plane = KubernetesPlane(cluster_config)
    specs = {number: of_image(ref, number) for number in range(1, 6)}
    settle(plane, specs[1])

    orders = [specs[number] for number in (2, 3, 4, 5) for _ in range(3)]
    random.Random(0).shuffle(orders)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda spec: applied(plane, spec), orders))
    settle(plane, specs[5])

    assert differences(control_plane, cluster_config, specs[5]) == ""
    assert plane.observe(ref=ref).applied_revision == 5
