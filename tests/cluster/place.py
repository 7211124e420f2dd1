"""A person's place in a portal with a cluster, and what is done and looked at from there."""

import re
import time
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

import psutil
from playwright.sync_api import Error, Page, expect

from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.registration import permissions
from apps.dataplane.local.machine.cleanup import SUPERVISORD, find_leftovers
from tests.cluster.node import Node
from tests.cluster.registry import Beside
from tests.dataplane.world import eventually
from tests.e2e import steps
from tests.e2e.browser import Inspector
from tests.e2e.portal import Portal

DONE = ("success", "failed")


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


def register(place: Place) -> None:
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


def name_registry(place: Place, beside: Beside) -> None:
    """Fill in where images with packages go, and let the portal try it."""
    page = place.page
    cluster = page.url
    page.goto(f"{cluster}settings/")
    for name, value in beside.settings().items():
        page.locator(f"#id_{name}").fill(value)
    place.ada.look()
    place.ada.picture("cluster-settings")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("main")).to_contain_text("Saved.")
    page.goto(cluster)
    page.get_by_role("button", name="Test again").click()
    expect(page.locator("main")).to_contain_text("The portal can push to", timeout=30_000)


def apply_changes(place: Place) -> None:
    steps.review(place.page)
    place.page.get_by_role("button", name=re.compile(r"^Apply revision \d+$")).click()
    expect(place.page).to_have_url(re.compile(r"/operations/\d+/"))
    steps.wait_until_done(place.page)


def trigger(airflow: Page, ref: str, dag: str) -> str:
    body = {"logical_date": None}
    made = airflow.evaluate(steps.CALL, [f"/{ref}/api/v2/dags/{dag}/dagRuns", body])
    assert made["status"] == 200, made
    return f"/{ref}/api/v2/dags/{dag}/dagRuns/{made['body']['dag_run_id']}"


def most_workers_during(place: Place, airflow: Page, run: str, seconds: float = 420) -> int:
    """Wait for the end of a run; return how many workers there were at most."""
    most, deadline = 0, time.monotonic() + seconds
    while read(airflow, run)["state"] not in DONE:
        most = max(most, len(place.pods("worker")))
        assert time.monotonic() < deadline, read(airflow, run)
        time.sleep(2)
    return most


def tasks_of(airflow: Page, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(airflow, f"{run}/taskInstances")["task_instances"]
    return found


def states_of(airflow: Page, run: str) -> set[str]:
    return {str(task["state"]) for task in tasks_of(airflow, run)}


def log_of(airflow: Page, run: str, task: dict[str, Any]) -> str:
    path = f"{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
    return str(read(airflow, f"{path}?map_index={task['map_index']}")["content"])


def read(airflow: Page, path: str) -> dict[str, Any]:
    answer = airflow.evaluate(steps.CALL, [path, None])
    assert answer["status"] == 200, answer
    body: dict[str, Any] = answer["body"]
    return body


def kill_programs(portal: Portal) -> set[str]:
    """End every process of the portal but supervisord and the services, as a crash does."""
    spared = {SUPERVISORD, "postgres", "valkey"}
    found = [one for one in find_leftovers(portal.home) if one.program not in spared]
    for one in found:
        one.process.kill()
    psutil.wait_procs([one.process for one in found], timeout=10)
    return {one.program for one in found}


def answers(place: Place) -> bool:
    try:
        return place.page.request.get(f"/d/{place.ref}/").ok
    except Error:
        return False
