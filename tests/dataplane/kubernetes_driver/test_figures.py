"""Figures from an Airflow and a metrics server: in their shapes, missing, and hostile."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.transport import Answer
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.observe.live_metrics import (
    quantity,
    read_live_metrics,
    tasks_in,
    usage_in,
)
from apps.dataplane.status import LiveMetrics, Usage
from tests.dataplane.specs import make_spec

JSON = {"content-type": "application/json"}
COUNTS = {
    "tasks": [["default", "queued", 31], ["default", "running", 4], ["other", "queued", 9]],
    "waiting": [["default", 31, 720], ["other", 9, 60], ["default", 1], ["default", 1, "long"], 7],
    "import_errors": 2,
    "heartbeats": {"SchedulerJob": "2026-11-22T12:00:00+00:00", "Unknown": "2026-11-22"},
}


def pod_metrics(component: str, *used: tuple[str, str], queue: str = "") -> dict[str, Any]:
    """Return an item as metrics-server 0.7 gives it."""
    labels = {"app.kubernetes.io/component": component, "astro-portal.dev/deployment": "x"}
    if queue:
        labels["astro-portal.dev/queue"] = queue
    return {
        "metadata": {"name": f"{component}-1", "namespace": "airflow-x", "labels": labels},
        "timestamp": "2026-11-22T12:00:03Z",
        "window": "15.127s",
        "containers": [
            {"name": f"c{number}", "usage": {"cpu": cpu, "memory": memory}}
            for number, (cpu, memory) in enumerate(used)
        ],
    }


METRICS = {
    "kind": "PodMetricsList",
    "apiVersion": "metrics.k8s.io/v1beta1",
    "metadata": {},
    "items": [
        pod_metrics("scheduler", ("123456789n", "524288Ki")),
        pod_metrics("worker", ("1", "1Gi"), ("500m", "0"), queue="default"),
        pod_metrics("worker", ("250m", "1Gi"), queue="default"),
    ],
}


class Cluster:
    """Stands in for the API: an Airflow behind its service proxy, and a metrics server."""

    connection = Connection(server="https://cluster.test", ca_certificate="")

    def home(self, ref: str) -> str:
        return self.connection.home(ref)

    def __init__(
        self,
        *,
        airflow: tuple[int, object] = (200, COUNTS),
        metrics: tuple[int, object] = (200, METRICS),
    ) -> None:
        self.answers = {"airflow": airflow, "metrics": metrics}
        self.asked: list[str] = []
        self.is_cut = False

    def raw(self, method: str, path: str, *, seconds: float, **_: Any) -> Answer:
        assert method == "GET"
        assert seconds <= 4
        self.asked.append(path)
        if self.is_cut:
            raise Unreachable("The cluster took no connection.")
        status, said = self.answers["metrics" if "metrics.k8s.io" in path else "airflow"]
        return Answer(status, JSON, said if isinstance(said, bytes) else orjson.dumps(said))


def ask(cluster: Cluster) -> LiveMetrics:
    return read_live_metrics(cluster, spec=make_spec("x"), portal_id="p")


def test_two_requests_tell_tasks_heartbeats_memory_and_cpu() -> None:
    cluster = Cluster()

    live_metrics = ask(cluster)

    assert live_metrics.tasks == {"default": (31, 4)}
    [(queue, since)] = (live_metrics.waiting or {}).items()
    assert queue == "default"
    assert live_metrics.taken_at - since == pytest.approx(
        timedelta(minutes=12), abs=timedelta(seconds=5)
    )
    assert live_metrics.import_errors == 2
    assert live_metrics.heartbeats == {"scheduler": datetime(2026, 11, 22, 12, tzinfo=UTC)}
    assert live_metrics.usage == {
        "scheduler": Usage(memory_bytes=512 * 1024**2, cpu_millis=123),
        "worker default": Usage(memory_bytes=2 * 1024**3, cpu_millis=1750),
    }
    assert (live_metrics.tasks_unknown, live_metrics.usage_unknown) == ("", "")
    assert len(cluster.asked) == 2
    metrics = next(path for path in cluster.asked if "metrics.k8s.io" in path)
    assert urlsplit(metrics).path == "/apis/metrics.k8s.io/v1beta1/namespaces/airflow-x/pods"
    assert parse_qs(urlsplit(metrics).query)["labelSelector"] == [
        "astro-portal.dev/portal=p,astro-portal.dev/deployment=x,app.kubernetes.io/component!=task"
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "The cluster has no metrics server."),
        (403, "role to apply"),
        (503, "metrics server does not answer (503)"),
    ],
)
def test_a_cluster_that_tells_no_memory_says_why(status: int, words: str) -> None:
    live_metrics = ask(Cluster(metrics=(status, b"404 page not found")))

    assert live_metrics.usage is None
    assert words in live_metrics.usage_unknown
    assert live_metrics.tasks is not None


def test_an_airflow_that_is_down_says_so_and_memory_is_told() -> None:
    refusal = {"kind": "Status", "apiVersion": "v1", "code": 503, "message": "no endpoints"}

    live_metrics = ask(Cluster(airflow=(503, refusal)))

    assert live_metrics.tasks is None
    assert live_metrics.import_errors is None
    assert live_metrics.tasks_unknown == "The API server of this Deployment does not answer."
    assert live_metrics.usage


@pytest.mark.parametrize(
    "answer",
    [(404, {"detail": "Not Found"}), (200, []), (200, b"<html>"), (200, {"tasks": "none"})],
)
def test_an_airflow_that_knows_no_counts_is_unknown(answer: tuple[int, object]) -> None:
    live_metrics = ask(Cluster(airflow=answer))

    assert live_metrics.tasks is None
    assert live_metrics.tasks_unknown.startswith("Airflow does not report its tasks")


def test_a_cluster_that_is_away_is_the_reason_for_both() -> None:
    cluster = Cluster()
    cluster.is_cut = True

    live_metrics = ask(cluster)

    assert (live_metrics.tasks, live_metrics.usage) == (None, None)
    assert (
        live_metrics.tasks_unknown
        == live_metrics.usage_unknown
        == "The cluster took no connection."
    )


@pytest.mark.parametrize(
    "rows",
    [
        ["default", None],
        [["default", "queued"]],
        [["default", "queued", -1], ["default", "running", True]],
        [["default", "queued", 10**12], ["default", "gone", 1], [{}, [], 1]],
    ],
)
def test_counts_that_are_none_are_not_believed(rows: list) -> None:
    assert tasks_in(rows, queues=["default"]) == {"default": (0, 0)}


def test_usage_that_is_none_is_not_believed() -> None:
    strange = pod_metrics("scheduler", ("NaN", "-5Ki"), ("1e999", "1" * 300))
    broken = [None, {}, {"metadata": []}, {"metadata": {}, "containers": 1}]
    wrong = pod_metrics("triggerer") | {"containers": [None, {"usage": 1}]}

    assert usage_in([strange, wrong, *broken]) == {"scheduler": Usage(memory_bytes=0, cpu_millis=0)}


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), ("128974848", 128974848), ("129M", 129_000_000), ("123Mi", 128974848)]
    + [("1e3", 1000), ("100u", Decimal("0.0001")), ("2Ti", 2 * 1024**4), ("", 0), ("Ki", 0)],
)
def test_amounts_are_read_as_kubernetes_writes_them(text: str, amount: object) -> None:
    assert quantity(text) == amount
