"""The main job on a real cluster: a portal, a real node with KEDA, Airflow by our manifests, a
browser. The tests go on where the one before ended.
"""

import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, JOB_LABEL
from tests.cluster.node import Node
from tests.cluster.place import (
    Place,
    answers,
    apply_changes,
    kill_programs,
    log_of,
    most_workers_during,
    name_registry,
    read,
    register,
    states_of,
    tasks_of,
    trigger,
)
from tests.cluster.registry import Beside, running_beside
from tests.dataplane.project_images.servers import OCI, SAYS
from tests.dataplane.world import eventually
from tests.e2e import steps
from tests.e2e.browser import Inspector, new_context
from tests.e2e.portal import Portal

pytest_plugins = ["tests.e2e.shared_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.cluster]

NAME = "etl-prod"
# A minute on two idle cores.
HEALTHY_MS = 600_000
ALL_KINDS = (
    "namespaces,pods,deployments,statefulsets,replicasets,jobs,services,configmaps,secrets,"
    "serviceaccounts,networkpolicies,persistentvolumeclaims,persistentvolumes,"
    "horizontalpodautoscalers,scaledobjects,triggerauthentications,poddisruptionbudgets"
)
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

# The DAG that a Deployment without code has, by its name.
WELCOME = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("welcome", schedule=None):
    BashOperator(task_id="greet", bash_command="echo welcome")
"""
PROJECT = {
    "requirements.txt": "greeting-words\n",
    "dags/greets.py": """
from airflow.sdk import dag, task
import greeting_words


@dag(schedule=None)
def greets():
    @task
    def say():
        print(greeting_words.greet())

    say()


greets()
""",
    "plugins/greeting_plugin.py": """
from airflow.plugins_manager import AirflowPlugin
from include.greetings import greet


class GreetingPlugin(AirflowPlugin):
    name = "greeting_plugin"
    macros = [greet]
""",
    "include/greetings.py": "from greeting_words import greet\n",
}
# Titles of why a task waits.
REASONS = {
    "scaling-stuck": "does not scale",
    "quota": "A quota of the namespace is used up",
    "pod-pending": "The cluster finds no node",
}
N_DAGS, DAG_BYTES = 100, 52_000


@pytest.fixture(scope="module")
def registered(portal: Portal, node: Node, browser: Browser) -> Iterator[Place]:
    """A cluster, registered with an account that may do what the portal's own role says."""
    context = new_context(browser, base_url=portal.url)
    place = Place(portal, node, Inspector(context.new_page()))
    steps.set_up(place.page, portal.sign_in_link)
    register(place)
    yield place
    context.close()


@pytest.fixture(scope="module")
def beside(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """A registry and a package index that the node reaches."""
    with running_beside(node, tmp_path_factory.mktemp("beside")) as found:
        yield found


@pytest.fixture(scope="module")
def place(registered: Place, beside: Beside) -> Place:
    """A Deployment on the cluster, healthy; the cluster knows a registry."""
    name_registry(registered, beside)
    page = registered.page
    steps.fill_new_deployment(page, name=NAME)
    page.get_by_label("Max workers").fill("3")
    page.get_by_label("Tasks per worker").fill("2")
    steps.review(page)
    steps.confirm(page, f"Create {NAME}")
    registered.ref = page.url.split("/d/")[1].split("/")[0]
    steps.wait_until_done(page, milliseconds=HEALTHY_MS)
    return registered


def test_a_cluster_is_registered_and_says_what_it_offers(registered: Place) -> None:
    main = registered.page.locator("main")

    expect(main).to_contain_text("KEDA")
    expect(main).to_contain_text("standard")
    expect(main).to_contain_text("The portal has all permissions it needs.")
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


def test_five_mebibytes_of_dags_become_visible(place: Place, tmp_path: Path) -> None:
    archive, words = tmp_path / "dags.zip", random.Random(5)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as dags:
        dags.writestr("burst.py", BURST)
        dags.writestr("welcome.py", WELCOME)
        for number in range(N_DAGS):
            padding = f"# {words.randbytes(DAG_BYTES // 2).hex()}\n"
            dag = f'from airflow.sdk import DAG\ndag = DAG("large_{number}", schedule=None)\n'
            dags.writestr(f"large_{number}.py", dag + padding)
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    began = time.monotonic()

    steps.upload(place.page, place.ref, archive)
    if "/previews/" in place.page.url:
        steps.see_preview(place.page).click()
    path = f"/{place.ref}/api/v2/dags?limit=1&dag_id_pattern=large_"
    eventually(lambda: read(airflow, path)["total_entries"] == N_DAGS, seconds=240, every=1)
    seen = time.monotonic() - began
    airflow.close()

    print(f"5 MiB of DAGs in Airflow after {seen:.0f} s")
    steps.wait_until_done(place.page)


def test_a_burst_scales_from_zero_and_back_and_loses_no_task(place: Place) -> None:
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    eventually(lambda: not place.pods("worker"), seconds=240)

    run = trigger(airflow, place.ref, "burst")
    most = most_workers_during(place, airflow, run)
    tasks = tasks_of(airflow, run)
    eventually(lambda: not place.pods("worker"), seconds=240)
    logs = [log_of(airflow, run, task) for task in tasks]
    airflow.close()

    assert [task["state"] for task in tasks] == ["success"] * 12, tasks
    assert {task["try_number"] for task in tasks} == {1}
    assert most == 3
    assert all("slept" in log for log in logs)


def test_it_is_said_why_no_worker_comes(place: Place) -> None:
    """KEDA is held, then a quota has no room, then no node takes pods; each is the one reason."""
    kubectl, inside = place.node.kubectl, ("-n", place.namespace)
    [node] = place.node.objects("nodes", "default")
    name = node["metadata"]["name"]
    paused = "autoscaling.keda.sh/paused"
    eventually(lambda: not place.pods("worker"), seconds=120)
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    steps.wait_for_dag(airflow, f"/{place.ref}/", "welcome")

    kubectl(*inside, "annotate", "scaledobject", "worker-default", f"{paused}=true")
    run = trigger(airflow, place.ref, "welcome")
    eventually(lambda: _is_said("scaling-stuck", place, airflow, run), seconds=60, every=1)
    kubectl(*inside, "create", "quota", "no-more", "--hard=pods=1")
    kubectl(*inside, "annotate", "scaledobject", "worker-default", f"{paused}-")
    eventually(lambda: _is_said("quota", place, airflow, run), seconds=60, every=1)
    kubectl("cordon", name)
    kubectl(*inside, "delete", "quota", "no-more")
    eventually(lambda: _is_said("pod-pending", place, airflow, run), seconds=90, every=1)
    place.ada.look()
    kubectl("uncordon", name)
    eventually(lambda: read(airflow, run)["state"] == "success", seconds=180, every=1)
    airflow.close()


def _is_said(reason: str, place: Place, airflow: Page, run: str) -> bool:
    """Return whether this, and none of the others, is why the first task of a run waits."""
    waiting = [task for task in tasks_of(airflow, run) if task["state"] == "queued"]
    if not waiting:
        return False
    asked = {name: waiting[0][name] for name in ("task_id", "map_index")}
    asked |= {"dag_id": run.split("/")[5], "run_id": unquote(run.split("/")[7])}
    place.page.goto(f"/d/{place.ref}/why/?{urlencode(asked)}")
    title = " ".join(place.page.locator("#why .answer h3").all_inner_texts())
    return [key for key, words in REASONS.items() if words in title] == [reason]


def test_an_edit_rolls_out_and_restarts_only_what_it_changes(place: Place) -> None:
    before = place.pods("api-server")

    place.page.goto(f"/d/{place.ref}/configure/")
    place.page.get_by_label("Max workers").fill("2")
    apply_changes(place)

    assert place.pods("api-server") == before
    (scaled,) = place.node.objects("scaledobjects", place.namespace)
    assert scaled["spec"]["maxReplicaCount"] == 2

    place.page.goto(f"/d/{place.ref}/configure/")
    steps.add_variable(place.page, "GREETING", "good morning")
    apply_changes(place)

    assert not set(place.pods("api-server")) & set(before)
    place.open_overview()
    expect(place.page.locator("main")).to_contain_text("Healthy")


def test_a_project_brings_a_package_that_the_runtime_lacks(place: Place, tmp_path: Path) -> None:
    """What runs meanwhile ends with the code and the packages that it began with."""
    before = place.pods("scheduler")
    archive = tmp_path / "project.zip"
    with zipfile.ZipFile(archive, "w") as project:
        project.writestr("dags/burst.py", BURST)
        for name, text in PROJECT.items():
            project.writestr(name, text)
    place.open_overview()
    former = steps.open_airflow(place.page)
    if not read(former, f"/{place.ref}/api/v2/dags?dag_id_pattern=burst")["total_entries"]:
        # Asked alone, this has no code of the tests before.
        steps.deliver(place.page, place.ref, tmp_path, BURST)
        steps.wait_until_done(place.page)
        steps.wait_for_dag(former, f"/{place.ref}/", "burst")
    began = time.monotonic()

    steps.upload(place.page, place.ref, archive)
    steps.see_preview(place.page)
    previewed = time.monotonic() - began
    expect(place.page.locator("main")).to_contain_text("greeting-words")
    expect(place.page.locator("main")).to_contain_text("greets")
    place.ada.look()
    place.ada.picture("cluster-preview")
    assert place.pods("scheduler") == before
    burst = trigger(former, place.ref, "burst")
    eventually(lambda: "running" in states_of(former, burst), seconds=240)
    former.close()
    steps.confirm(place.page, f"Deploy to {NAME}")
    steps.wait_until_done(place.page)
    place.open_overview()
    airflow = steps.open_airflow(place.page)
    steps.wait_for_dag(airflow, f"/{place.ref}/", "greets")
    seen = time.monotonic() - began
    eventually(lambda: states_of(airflow, burst) == {"success"}, seconds=300, every=2)
    assert {one["try_number"] for one in tasks_of(airflow, burst)} == {1}
    run = trigger(airflow, place.ref, "greets")
    most_workers_during(place, airflow, run)
    [task] = tasks_of(airflow, run)
    log = log_of(airflow, run, task)
    plugins = read(airflow, f"/{place.ref}/api/v2/plugins")["plugins"]
    airflow.close()

    assert task["state"] == "success", log
    assert SAYS in log
    assert "greeting_plugin" in [one["name"] for one in plugins]
    images = {
        pod["spec"]["containers"][0]["image"]
        for pod in place.node.objects("pods", place.namespace)
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "scheduler"
    }
    assert len(images) == 1
    assert "/data/airflow@sha256:" in images.pop()
    left = place.node.kubectl("get", "jobs", "-A", "-l", JOB_LABEL, "-o", "name")
    assert not left.strip()
    print(f"previewed in {previewed:.0f} s, in Airflow after {seen:.0f} s")


def test_an_image_that_is_gone_when_a_pod_moves_is_said_until_it_is_back(
    place: Place, beside: Beside
) -> None:
    [name] = place.pods("triggerer")
    registry, others, kubectl = beside.registry, place.pods("scheduler"), place.node.kubectl
    of_one = (
        "-n",
        place.namespace,
        "get",
        "pod",
        name,
        "-o",
        "jsonpath={.spec.containers[0].image}",
    )
    image = kubectl(*of_one)
    repository, digest = image.removeprefix(f"{registry.host}/").split("@")
    path = f"/v2/{repository}/manifests/{digest}"
    with registry.call("GET", path, Accept=OCI) as answer:
        manifest = answer.read()
    registry.call("DELETE", path).close()
    place.node.forget_images(image, json.loads(manifest)["config"]["digest"])
    move = ("-n", place.namespace, "delete", "pods", "--wait=false")
    triggerer = ("-l", "app.kubernetes.io/component=triggerer")
    began = time.monotonic()
    kubectl(*move, *triggerer)

    eventually(lambda: place.says("The registry does not have it."), seconds=180, every=2)
    place.ada.look()
    said = time.monotonic() - began
    assert place.pods("scheduler") == others
    registry.call("PUT", path, manifest, Content_Type=OCI).close()
    # The kubelet would try again by itself, minutes later.
    kubectl(*move, *triggerer)
    eventually(lambda: not place.says("The registry does not have it."), seconds=240, every=2)
    eventually(lambda: place.says("Healthy"), seconds=120, every=2)
    assert place.pods("triggerer")
    print(f"said after {said:.0f} s, healthy after {time.monotonic() - began:.0f} s")


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
    killed = kill_programs(place.portal)

    eventually(lambda: answers(place), seconds=90, every=1)
    place.page.goto(f"/d/{place.ref}/configure/")
    place.page.get_by_label("Max workers").fill("4")
    apply_changes(place)

    assert {"web", "connect"} <= killed
    assert place.pods("scheduler") == before


def test_an_api_server_goes_away_and_returns(place: Place) -> None:
    before = place.pods("scheduler") | place.pods("api-server")

    with place.node.without("kube-apiserver"):
        eventually(lambda: place.says("has been unreachable since"), seconds=150, every=2)
        place.ada.look()
    # Meanwhile the page says what was seen last: that it was healthy.
    eventually(lambda: not place.says("has been unreachable since"), seconds=240, every=2)
    eventually(lambda: place.says("Healthy"), seconds=120, every=2)

    assert place.pods("scheduler") | place.pods("api-server") == before


def test_deletion_leaves_nothing(place: Place) -> None:
    steps.delete(place.page, place.ref, name=NAME)
    steps.wait_until_done(place.page)

    label = f"{DEPLOYMENT_LABEL}={place.ref}"
    assert not place.node.kubectl("get", ALL_KINDS, "-A", "-l", label, "-o", "name").strip()
    assert not place.node.exists("namespace", place.namespace)
    eventually(lambda: not place.node.kubectl("get", "pv", "-o", "name").strip(), seconds=30)
    # The page and its stream noticed that the portal was killed under them.
    noticed = ("Failed to fetch", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_REFUSED")
    noticed += ("ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
    assert [one for one in place.ada.problems if not any(word in one for word in noticed)] == []
