"""What a Prometheus gets of an Airflow: by a real statsd_exporter, found by the real definition of
a PodMonitor.
"""

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.prometheus import exporter
from apps.dataplane.production import ProductionSpec
from tests.dataplane.kubernetes_render.matrix import make_config
from tests.dataplane.specs import make_spec
from tests.kubernetes import go_builds
from tests.kubernetes.assets import EXPORTER, exporter_folder
from tests.kubernetes.control_plane import ControlPlane
from tests.registry.registries import free_port

pytestmark = pytest.mark.slow
OPERATOR = "github.com/prometheus-operator/prometheus-operator"
MONITOR = Path(__file__).parents[2] / "deploy" / "prometheus-podmonitor.yaml"
DEFINITION = "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"
# As Airflow 3.3 sends them, twice where there are labels. Earlier ones leave dots in ids.
SENT = """
airflow.dag.shop.etl.load.duration:1200|ms
airflow.task.duration:1200|ms
airflow.ti.finish.etl.load.success:1|c
airflow.ti.finish:1|c
airflow.ti.running.default.etl.load:3|g
airflow.pool.open_slots.default_pool:128|g
airflow.pool.open_slots:128|g
airflow.executor.running_tasks.CeleryExecutor:2|g
airflow.executor.running_tasks:2|g
airflow.operator_failures_BashOperator:1|c
airflow.operator_failures:1|c
airflow.local_task_job.task_exit.17.etl.load.0:1|c
airflow.local_task_job.task_exit:1|c
airflow.scheduler_heartbeat:1|c
"""
SCRAPED = {
    'airflow_task_duration_count{dag_id="shop.etl",task_id="load"} 1',
    'airflow_ti_finish{dag_id="etl",state="success",task_id="load"} 1',
    'airflow_ti_running{dag_id="etl",queue="default",task_id="load"} 3',
    'airflow_pool_open_slots{pool="default_pool"} 128',
    'airflow_executor_running_tasks{executor="CeleryExecutor"} 2',
    'airflow_operator_failures{operator="BashOperator"} 1',
    "airflow_scheduler_heartbeat 1",
}


@pytest.fixture(scope="module")
def program() -> Path:
    if reason := go_builds.why_not():
        pytest.skip(reason)
    folder = exporter_folder()
    try:
        go_builds.build([EXPORTER], folder, time.monotonic() + 300)
    except go_builds.BuildFailed as failed:
        pytest.skip(str(failed))
    return folder / EXPORTER.name


@pytest.fixture
def relayed() -> Iterator[socket.socket]:
    """A StatsD server of the company's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        yield server


def test_what_airflow_sends_is_scraped_by_labels_and_passed_on(
    program: Path, relayed: socket.socket, tmp_path: Path
) -> None:
    (tmp_path / "mappings.yml").write_text(exporter.mapping_file())
    statsd, metrics = free_port(), free_port()
    settings = ProductionSpec(
        prometheus=True, statsd_address=f"127.0.0.1:{relayed.getsockname()[1]}"
    )
    spec = make_spec(settings=settings)
    rendered = [m for stage in render(spec=spec, config=make_config()) for m in stage.objects]
    [pod] = [
        m["spec"]["template"]["spec"]
        for m in rendered
        if (m["kind"], m["metadata"]["name"]) == ("Deployment", "statsd")
    ]
    # As rendered, but for what only a pod has: a folder and an address of its own.
    arguments = [
        one.replace(exporter.FOLDER, str(tmp_path))
        .replace(":9125", f"127.0.0.1:{statsd}")
        .replace(":9102", f"127.0.0.1:{metrics}")
        for one in pod["containers"][0]["args"]
    ]
    with subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            scraped(metrics)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                for line in SENT.split():
                    client.sendto(line.encode(), ("127.0.0.1", statsd))
            deadline = time.monotonic() + 10
            while not (found := set(scraped(metrics).splitlines())) >= SCRAPED:
                assert time.monotonic() < deadline, SCRAPED - found
                time.sleep(0.1)
            passed_on = relayed.recv(65_535).decode()
        finally:
            process.terminate()

    names = {re.split("[{ ]", line)[0] for line in found if line.startswith("airflow")}
    assert not [name for name in names if "task_exit" in name], "one for each task run"
    # Nothing is counted twice.
    assert sum(line.startswith(("airflow_ti_finish", "airflow_pool_open")) for line in found) == 2
    assert passed_on.startswith("airflow.")


def scraped(port: int) -> str:
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_monitor_is_one_that_the_operator_takes_and_finds_the_exporter(
    control_plane: ControlPlane,
) -> None:
    [monitor] = yaml.safe_load_all(MONITOR.read_text())
    deadline = {
        "module": EXPORTER.module,
        "label": "PodMonitor",
        "deadline": time.monotonic() + 120,
    }
    go_builds.go("mod", "download", OPERATOR, **deadline)
    shipped = go_builds.go("list", "-m", "-f", "{{.Dir}}", OPERATOR, **deadline).strip()
    control_plane.kubectl("apply", "--server-side", "-f", str(Path(shipped, DEFINITION)))
    control_plane.kubectl(
        *("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com"),
    )

    said = control_plane.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "-n", "default", "-f", "-"),
        given=json.dumps(monitor),
    )

    assert "created" in said
    spec = make_spec(settings=ProductionSpec(prometheus=True))
    rendered = [m for stage in render(spec=spec, config=make_config()) for m in stage.objects]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    [found] = [
        m["spec"]["template"]
        for m in rendered
        if m["kind"] == "Deployment"
        and wanted <= m["spec"]["template"]["metadata"]["labels"].items()
    ]
    ports = [port["name"] for port in found["spec"]["containers"][0]["ports"]]
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports
    # Whose metrics these are is not for what sends them to say, nor how many there may be.
    assert monitor["spec"]["sampleLimit"]
    assert monitor["spec"]["podMetricsEndpoints"][0]["honorLabels"] is False
    assert monitor["spec"]["podTargetLabels"][0] in found["metadata"]["labels"]
