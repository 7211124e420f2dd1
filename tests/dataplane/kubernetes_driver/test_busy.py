from typing import Any

import orjson
import pytest

from apps.dataplane.errors import Temporary, Unreachable
from apps.dataplane.kubernetes.api.errors import NotFound
from apps.dataplane.kubernetes.api.transport import Answer
from apps.dataplane.kubernetes.apply.pod_deletion_cost import COST, mark_busy_workers
from apps.dataplane.kubernetes.config import Connection
from tests.dataplane.kubernetes_driver.objects import ago, thing
from tests.dataplane.specs import make_spec


class Cluster:
    """Stands in for the API: worker pods, and an Airflow that tells where its tasks run."""

    connection = Connection(server="https://cluster.test", ca_certificate="")

    def home(self, ref: str) -> str:
        return self.connection.home(ref)

    def __init__(self, pods: list[dict], hosts: list[str]) -> None:
        self.pods = pods
        self.hosts = hosts
        self.marks: dict[str, str] = {}
        self.is_up = True
        self.status = 200

    def list(self, *_: Any, **__: Any) -> list[dict]:
        return self.pods

    def raw(self, method: str, path: str, **_: Any) -> Answer:
        if not self.is_up:
            body = orjson.dumps({"kind": "Status", "apiVersion": "v1", "code": 503})
            return Answer(503, {"content-type": "application/json"}, body)
        offset = int(path.rpartition("offset=")[2])
        page = [{"hostname": host} for host in self.hosts[offset : offset + 100]]
        return Answer(self.status, {}, orjson.dumps({"task_instances": page}))

    def merge(self, kind: object, name: str, changes: dict, *, namespace: str) -> None:
        if name == "gone":
            raise NotFound("Gone.", status=404)
        self.marks[name] = changes["metadata"]["annotations"][COST]


def worker(name: str, ip: str, cost: str = "", **metadata: Any) -> dict:
    annotations = {COST: cost} if cost else {}
    return thing(
        "Pod",
        name,
        metadata={"namespace": "airflow-x", "annotations": annotations, **metadata},
        status={"podIP": ip},
    )


def mark(cluster: Cluster) -> int:
    return mark_busy_workers(cluster, spec=make_spec("x"), portal_id="p")  # type: ignore[arg-type]


def test_a_worker_is_marked_with_its_running_tasks_by_address_or_name() -> None:
    cluster = Cluster([worker("a", "10.0.0.1"), worker("b", "10.0.0.2")], ["10.0.0.1", "b", "b"])

    assert mark(cluster) == 2
    assert cluster.marks == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("addresses", "host"),
    [
        (["fd00::7"], "[fd00::7]"),
        (["fd00::7", "10.0.0.7"], "10.0.0.7"),
        (["10.0.0.7", "fd00::7"], "10.0.0.7"),
    ],
)
def test_a_worker_is_found_by_its_address_of_either_family(addresses: list[str], host: str) -> None:
    pod = worker("a", addresses[0])
    pod["status"]["podIPs"] = [{"ip": one} for one in addresses]
    cluster = Cluster([pod], [host, host])

    mark(cluster)

    assert cluster.marks == {"a": "2"}


def test_only_what_changed_is_written() -> None:
    pods = [worker("same", "1", "1"), worker("idle", "2"), worker("freed", "3", "4")]
    cluster = Cluster(pods, ["1"])

    assert mark(cluster) == 1
    assert cluster.marks == {"freed": "0"}


def test_pods_that_go_are_left_alone() -> None:
    pods = [worker("gone", "1"), worker("ending", "2", deletionTimestamp=ago(1))]

    assert mark(Cluster(pods, ["1", "2"])) == 0


def test_more_tasks_than_one_page_are_counted() -> None:
    cluster = Cluster([worker("a", "1")], ["1"] * 250)

    mark(cluster)

    assert cluster.marks == {"a": "250"}


def test_an_airflow_that_does_not_answer_changes_no_mark() -> None:
    cluster = Cluster([worker("a", "1", "3")], [])
    cluster.is_up = False

    with pytest.raises(Unreachable):
        mark(cluster)

    assert cluster.marks == {}


def test_an_airflow_that_refuses_changes_no_mark() -> None:
    cluster = Cluster([worker("a", "1", "3")], [])
    cluster.status = 401

    with pytest.raises(Temporary):
        mark(cluster)

    assert cluster.marks == {}
