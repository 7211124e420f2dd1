"""The main job on a real cluster: a portal, a real node with KEDA, Airflow by our manifests, a
browser. The tests go on where the one before ended.
"""

import re
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Error, Page, expect

from apps.dataplane.kubernetes import permissions
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, namespace_of
from apps.dataplane.local.leftovers import SUPERVISORD, find_leftovers
from tests.cluster.node import Node
from tests.dataplane.world import eventually
from tests.e2e import steps
from tests.e2e.browser import Inspector, new_context
from tests.e2e.portal import Portal

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

NAME = "etl-prod"
# A minute on two idle cores.
HEALTHY_MS = 600_000
ALL_KINDS = (
    "namespaces,pods,deployments,statefulsets,replicasets,jobs,services,configmaps,secrets,"
    "serviceaccounts,networkpolicies,persistentvolumeclaims,persistentvolumes,"
    "horizontalpodautoscalers,scaledobjects,triggerauthentications,poddisruptionbudgets"
)
DONE = ("success", "failed")
# Shell tasks have an on_kill: they fail where a worker's end reaches its tasks.
BURST = """
import time

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

SECONDS = [60, 15, 30, 15, 60, 20]

with DAG("burst", schedule=None, max_active_tasks=12, default_args={"retries": 0}):

    @task
    def wait(seconds):
        print("slept", seconds)
        time.sleep(seconds)

    wait.expand(seconds=SECONDS)
    for number, seconds in enumerate(SECONDS):
        BashOperator(task_id=f"shell_{number}", bash_command=f"sleep {seconds}; echo slept")
"""


@dataclass
class Place:
    """A person in a browser, and the Deployment that all tests share."""

    portal: Portal
    node: Node
    ada: Inspector
    ref: str = ""

    @property
    def page(self) -> Page:
        return self.ada.page

    @property
    def namespace(self) -> str:
        return namespace_of(self.ref)

    def pods(self, component: str = "") -> dict[str, tuple[str, int]]:
        """Return the pods that are to stay: name → uid and restarts."""
        found = {}
        for pod in self.node.objects("pods", self.namespace):
            labels, metadata = pod["metadata"]["labels"], pod["metadata"]
            is_asked = not component or labels.get("app.kubernetes.io/component") == component
            is_staying = "deletionTimestamp" not in metadata and "job-name" not in labels
            if is_asked and is_staying:
                statuses = pod["status"].get("containerStatuses", [])
                restarts = sum(status["restartCount"] for status in statuses)
                found[metadata["name"]] = (metadata["uid"], restarts)
        return found

    def open_overview(self) -> None:
        self.page.goto(f"/d/{self.ref}/")

    def says(self, text: str) -> bool:
        self.open_overview()
        return text in self.page.locator("main").inner_text()


@pytest.fixture(scope="module")
def registered(portal: Portal, node: Node, browser: Browser) -> Iterator[Place]:
    """A cluster, registered with an account that may do what the portal's own role says."""
    context = new_context(browser, base_url=portal.url)
    place = Place(portal, node, Inspector(context.new_page()))
    steps.set_up(place.page, portal.sign_in_link)
    _register(place)
    yield place
    context.close()


@pytest.fixture(scope="module")
def place(registered: Place) -> Place:
    """A Deployment on the cluster, healthy."""
    page = registered.page
    steps.fill_new_deployment(page, name=NAME)
    page.get_by_label("Max workers").fill("3")
    page.get_by_label("Tasks each").fill("2")
    steps.review(page)
    steps.confirm(page, f"Create {NAME}")
    registered.ref = page.url.split("/d/")[1].split("/")[0]
    steps.wait_until_done(page, milliseconds=HEALTHY_MS)
    return registered


def _register(place: Place) -> None:
    page, node = place.page, place.node
    organization = "nordhavn-logistics"
    manifest = page.request.get(f"/o/{organization}/clusters/role.yaml").text()
    node.kubectl("apply", "-f", "-", given=manifest)
    secret = ("-n", permissions.NAMESPACE, "get", "secret", permissions.TOKEN_SECRET)
    token = eventually(lambda: node.kubectl(*secret, "-o", "jsonpath={.data.token}"))
    page.goto(f"/o/{organization}/clusters/register/?by=token")
    page.get_by_label("Name", exact=True).fill("This very machine")
    page.get_by_label("Address").fill(node.connection.server)
    page.get_by_label("CA certificate").fill(node.connection.ca_certificate)
    page.get_by_label("Token", exact=True).fill(b64decode(token).decode())
    place.ada.look()
    page.get_by_role("button", name="Register and test").click()
    expect(page.locator("main")).to_contain_text("v1.37")


def test_a_cluster_is_registered_and_says_what_it_offers(registered: Place) -> None:
    main = registered.page.locator("main")

    expect(main).to_contain_text("KEDA")
    expect(main).to_contain_text("standard")
    expect(main).to_contain_text("The portal may do what it needs.")
    registered.ada.look()


def test_a_deployment_becomes_healthy_under_restricted_pod_security(place: Place) -> None:
    place.open_overview()
    namespace = place.node.objects("namespaces", "default")

    expect(place.page.locator("main")).to_contain_text("Healthy")
    labels = next(
        item["metadata"]["labels"]
        for item in namespace
        if item["metadata"]["name"] == place.namespace
    )
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels[DEPLOYMENT_LABEL] == place.ref
    place.ada.look()
    place.ada.picture("cluster-deployment")


def test_airflow_opens_signed_in_and_a_dag_succeeds(place: Place) -> None:
    place.open_overview()

    airflow = steps.open_airflow(place.page)
    steps.wait_for_dag(airflow, f"/{place.ref}/", "welcome")
    steps.run_dag(airflow, f"/{place.ref}/", "welcome")
    airflow.goto(f"{airflow.url.split(place.ref)[0]}{place.ref}/dags")

    expect(airflow.get_by_text("welcome").first).to_be_visible(timeout=60_000)
    airflow.close()


def test_code_arrives_without_a_restart(place: Place, tmp_path: Path) -> None:
    before = place.pods("api-server") | place.pods("dag-processor") | place.pods("scheduler")

    steps.deliver(place.page, place.ref, tmp_path, BURST)
    steps.wait_until_done(place.page)
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    steps.wait_for_dag(airflow, f"/{place.ref}/", "burst")
    airflow.close()

    assert before.items() <= place.pods().items()


def test_a_burst_scales_from_zero_and_back_and_loses_no_task(place: Place) -> None:
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    eventually(lambda: not place.pods("worker"), seconds=240)

    run = _trigger(airflow, place.ref, "burst")
    most = _watch_run(place, airflow, run)
    tasks = _tasks(airflow, run)
    eventually(lambda: not place.pods("worker"), seconds=240)
    logs = [_log(airflow, run, task) for task in tasks]
    airflow.close()

    assert [task["state"] for task in tasks] == ["success"] * 12, tasks
    assert {task["try_number"] for task in tasks} == {1}
    assert most == 3
    assert all("slept" in log for log in logs)


def test_an_edit_rolls_out_and_restarts_only_what_it_changes(place: Place) -> None:
    before = place.pods("api-server")

    place.page.goto(f"/d/{place.ref}/configure/")
    place.page.get_by_label("Max workers").fill("2")
    _apply(place)

    assert place.pods("api-server") == before
    (scaled,) = place.node.objects("scaledobjects", place.namespace)
    assert scaled["spec"]["maxReplicaCount"] == 2

    place.page.goto(f"/d/{place.ref}/configure/")
    steps.add_variable(place.page, "GREETING", "good morning")
    _apply(place)

    assert not set(place.pods("api-server")) & set(before)
    place.open_overview()
    expect(place.page.locator("main")).to_contain_text("Healthy")


def test_a_change_by_hand_is_put_right(place: Place) -> None:
    kubectl, namespace = place.node.kubectl, ("-n", place.namespace)
    kubectl(*namespace, "delete", "deployment", "triggerer", "--wait=false")
    limit = '[{"op":"replace","path":"/spec/maxReplicaCount","value":9}]'
    scaled = ("scaledobject", "worker-default")
    kubectl(*namespace, "patch", *scaled, "--type=json", "-p", limit)

    def is_right() -> bool:
        (found,) = place.node.objects("scaledobjects", place.namespace)
        return found["spec"]["maxReplicaCount"] == 2 and bool(place.pods("triggerer"))

    eventually(is_right, seconds=120, every=1)
    eventually(lambda: place.says("Healthy"), seconds=180, every=2)


def test_the_portals_processes_are_killed_and_return(place: Place) -> None:
    before = place.pods("scheduler")
    killed = _kill_programs(place.portal)

    eventually(lambda: _answers(place), seconds=90, every=1)
    place.page.goto(f"/d/{place.ref}/configure/")
    place.page.get_by_label("Max workers").fill("4")
    _apply(place)

    assert {"web", "connect"} <= killed
    assert place.pods("scheduler") == before


def test_an_api_server_goes_away_and_returns(place: Place) -> None:
    before = place.pods("scheduler") | place.pods("api-server")

    with place.node.without("kube-apiserver"):
        eventually(lambda: place.says("has been unreachable since"), seconds=150, every=2)
        place.ada.look()
    eventually(lambda: place.says("Healthy"), seconds=240, every=2)

    assert place.pods("scheduler") | place.pods("api-server") == before


def test_deletion_leaves_nothing(place: Place) -> None:
    steps.delete(place.page, place.ref, name=NAME)
    steps.wait_until_done(place.page)

    label = f"{DEPLOYMENT_LABEL}={place.ref}"
    assert not place.node.kubectl("get", ALL_KINDS, "-A", "-l", label, "-o", "name").strip()
    assert not place.node.exists("namespace", place.namespace)
    eventually(lambda: not place.node.kubectl("get", "pv", "-o", "name").strip(), seconds=30)
    assert place.ada.problems == []


def _apply(place: Place) -> None:
    steps.review(place.page)
    place.page.get_by_role("button", name=re.compile(r"^Apply revision \d+$")).click()
    expect(place.page).to_have_url(re.compile(r"/operations/\d+/"))
    steps.wait_until_done(place.page)


def _trigger(airflow: Page, ref: str, dag: str) -> str:
    body = {"logical_date": None}
    made = airflow.evaluate(steps.CALL, [f"/{ref}/api/v2/dags/{dag}/dagRuns", body])
    assert made["status"] == 200, made
    return f"/{ref}/api/v2/dags/{dag}/dagRuns/{made['body']['dag_run_id']}"


def _watch_run(place: Place, airflow: Page, run: str, seconds: float = 420) -> int:
    """Wait for the end of a run; return how many workers there were at most."""
    most, deadline = 0, time.monotonic() + seconds
    while _get(airflow, run)["state"] not in DONE:
        most = max(most, len(place.pods("worker")))
        assert time.monotonic() < deadline, _get(airflow, run)
        time.sleep(2)
    return most


def _tasks(airflow: Page, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _get(airflow, f"{run}/taskInstances")["task_instances"]
    return found


def _log(airflow: Page, run: str, task: dict[str, Any]) -> str:
    path = f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
    return str(_get(airflow, f"{path}?map_index={task['map_index']}")["content"])


def _get(airflow: Page, path: str) -> dict[str, Any]:
    answer = airflow.evaluate(steps.CALL, [path, None])
    assert answer["status"] == 200, answer
    body: dict[str, Any] = answer["body"]
    return body


def _kill_programs(portal: Portal) -> set[str]:
    """End every process of the portal but supervisord and the services, as a crash does."""
    spared = {SUPERVISORD, "postgres", "valkey"}
    found = [one for one in find_leftovers(portal.home) if one.program not in spared]
    for one in found:
        one.process.kill()
    psutil.wait_procs([one.process for one in found], timeout=10)
    return {one.program for one in found}


def _answers(place: Place) -> bool:
    try:
        return place.page.request.get(f"/d/{place.ref}/").ok
    except Error:
        return False
