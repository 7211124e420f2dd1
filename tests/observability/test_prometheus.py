"""What a Prometheus reads of Deployments, by an API token; and Debian's own reading it."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.dataplane.fake.plane import FakePlane
from apps.deployments.models import Deployment, Health
from apps.observability.history import storage
from apps.observability.history.models import Collection
from apps.observability.history.storage import Buckets, Gauges, SeriesIds
from apps.observability.metrics import exposition
from apps.organizations.tokens.services import create_token
from tests.conftest import role

EVIL = 'a"} 1\nastro_portal_open_incidents{x="\\'
BASE = 'organization="nordhavn",workspace="warehouse",deployment="etl-prod-7f3c"'
PROMETHEUS = shutil.which("prometheus")


def put_now(deployment: Deployment, *, queue: str = "default", age_seconds: int = 30) -> None:
    """Give a Deployment one measurement and what ended today."""
    now, ids = timezone.now(), SeriesIds()
    values = {
        ("queued", queue): 3.0,
        ("workers", queue): 1.0,
        ("cpu_millis", "scheduler"): 250.0,
        ("memory_bytes", "scheduler"): 3.0e8,
        ("runs_running", ""): 2.0,
    }
    at = now - timedelta(seconds=age_seconds)
    storage.write_samples(
        gauges=[Gauges(deployment_id=deployment.pk, at=at, values=values)], ids=ids
    )
    end = int(now.timestamp()) // 300 * 300 + 300
    ended = {"runs_succeeded": {end - 300: 4.0}, "runs_failed": {end - 300: 1.0}}
    storage.write_buckets(
        buckets=Buckets(deployment_id=deployment.pk, begin=end - 300, end=end, values=ended),
        ids=ids,
    )
    Collection.objects.update_or_create(
        deployment=deployment, defaults={"next_at": now, "answered_at": now}
    )


@pytest.fixture
def secret(alice: User, workspace: Any) -> str:
    _, text = create_token(
        actor=alice,
        on=workspace,
        name="Prometheus",
        role=role("workspace", "member"),
        expires_at=None,
    )
    return text


def scrape(secret: str) -> list[str]:
    answer = Client(headers={"Authorization": f"Bearer {secret}"}).get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"] == exposition.CONTENT_TYPE
    return answer.content.decode().split("\n")


def test_a_token_reads_what_is_known_now(secret: str, deployment: Deployment):
    put_now(deployment)
    Deployment.objects.update(health=Health.HEALTHY, open_incidents=2)

    lines = scrape(secret)

    assert lines[-2:] == ["# EOF", ""]
    for line in (
        "# TYPE astro_portal_tasks_queued gauge",
        f'astro_portal_tasks_queued{{{BASE},queue="default"}} 3',
        f'astro_portal_cpu_cores{{{BASE},component="scheduler"}} 0.25',
        f'astro_portal_memory_bytes{{{BASE},component="scheduler"}} 300000000',
        f"astro_portal_dag_runs_running{{{BASE}}} 2",
        f"astro_portal_deployment_healthy{{{BASE}}} 1",
        f"astro_portal_open_incidents{{{BASE}}} 2",
        "# TYPE astro_portal_dag_runs_ended counter",
        f'astro_portal_dag_runs_ended_total{{{BASE},result="succeeded"}} 4',
        f'astro_portal_dag_runs_ended_total{{{BASE},result="failed"}} 1',
        "astro_portal_left_out_deployments 0",
    ):
        assert line in lines
    assert len(lines) == len(set(lines))


def test_an_old_value_is_no_value(secret: str, deployment: Deployment):
    put_now(deployment, age_seconds=600)

    assert not [line for line in scrape(secret) if line.startswith("astro_portal_tasks_queued{")]


def test_a_name_that_airflow_chose_stays_in_its_label(secret: str, deployment: Deployment):
    put_now(deployment, queue=EVIL.replace("\n", ""))

    [line] = [line for line in scrape(secret) if line.startswith("astro_portal_tasks_queued{")]

    assert line.endswith('queue="a\\"} 1astro_portal_open_incidents{x=\\"\\\\"} 3')


def test_a_token_reads_of_its_own_place_only(alice: User, make_deployment: Any):
    one, other = make_deployment(), make_deployment()
    put_now(one)
    put_now(other)
    _, text = create_token(
        actor=alice, on=one, name="P", role=role("deployment", "viewer"), expires_at=None
    )

    page = "\n".join(scrape(text))

    assert one.ref in page
    assert other.ref not in page


def test_a_session_reads_nothing(alice: User, client_of: Callable[[User], Client]):
    assert client_of(alice).get("/metrics").status_code == 401


def test_more_deployments_take_no_more_statements_and_ask_no_cluster(
    secret: str, make_deployment: Any, plane: type[FakePlane], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plane.store, "enter", lambda *_: pytest.fail("a cluster was asked"))
    put_now(make_deployment())
    scrape(secret)
    with CaptureQueriesContext(connection) as few:
        scrape(secret)
    for _ in range(4):
        put_now(make_deployment())

    with CaptureQueriesContext(connection) as many:
        lines = scrape(secret)

    assert len(many) == len(few) <= 9
    assert len([line for line in lines if line.startswith("astro_portal_tasks_queued{")]) == 5


def test_an_answer_has_an_end(secret: str, make_deployment: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exposition, "MOST_DEPLOYMENTS", 1)
    monkeypatch.setattr(exposition, "MOST_PARTS", 1)
    for _ in range(2):
        one = make_deployment()
        put_now(one)
        put_now(one, queue="other", age_seconds=0)

    lines = scrape(secret)

    assert "astro_portal_left_out_deployments 1" in lines
    assert len([line for line in lines if line.startswith("astro_portal_deployment_healthy{")]) == 1


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
def test_a_real_prometheus_reads_and_answers(
    transactional_db: None,
    live_server: Any,
    secret: str,
    deployment: Deployment,
    tmp_path: Path,
):
    put_now(deployment, queue='bulk "quoted" \\ ñ')

    with prometheus(live_server.url, secret, tmp_path) as query:
        queued = query("astro_portal_tasks_queued")
        ended = query("sum(astro_portal_dag_runs_ended_total)")
        kinds = query("astro_portal_deployment_info")

    assert [one["value"][1] for one in queued] == ["3"]
    assert queued[0]["metric"]["queue"] == 'bulk "quoted" \\ ñ'
    assert queued[0]["metric"]["deployment"] == deployment.ref
    assert ended[0]["value"][1] == "5"
    assert kinds[0]["metric"]["name"] == deployment.name


@contextmanager
def prometheus(url: str, secret: str, folder: Path) -> Iterator[Callable[[str], list[Any]]]:
    """Run a Prometheus that scrapes a portal each second; yield how to query it."""
    host = url.removeprefix("http://")
    (folder / "token").write_text(secret)
    (folder / "prometheus.yml").write_text(
        "scrape_configs:\n- job_name: astro-portal\n  scrape_interval: 1s\n"
        f"  authorization: {{credentials_file: {folder / 'token'}}}\n"
        f"  static_configs: [{{targets: ['{host}']}}]\n"
    )
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                str(PROMETHEUS),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        yield lambda text: answered(port, text, folder / "log")
    finally:
        process.terminate()
        process.wait(20)


def answered(port: int, query: str, log: Path) -> list[Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            address = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}"
            with urlopen(address, timeout=5) as response:
                found: list[Any] = json.load(response)["data"]["result"]
        except OSError:
            found = []
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"nothing for {query}\n{log.read_text()[-3000:]}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
