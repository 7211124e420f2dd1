"""One real node for all tests of this folder. They run with `make test-cluster` and `make ci`
alone: a node needs root, gigabytes and minutes.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import builds, machine
from tests.cluster.diagnosis import keep_everything
from tests.cluster.node import PROJECT, Node, running_node
from tests.cluster.registry import Mirror, running_mirror
from tests.cluster.task_pods import world_with_task_pods
from tests.dataplane.world import World
from tests.e2e.portal import Portal, running_portal
from tests.kubernetes.go_builds import BuildFailed

NODE = pytest.StashKey[Node]()
PORTAL_LOGS = pytest.StashKey[Path]()
LEFT_OUT = "`make test-cluster` runs it: a real node needs root and minutes."


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "cluster" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


@pytest.fixture(scope="package")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Start it before the first test that asks, and end it with the folder's last: other files
    follow in this process.
    """
    if reason := machine.reason_against():
        pytest.skip(reason)
    try:
        builds.ensure_all()
    except BuildFailed as failed:
        pytest.skip(str(failed))
    with running_node() as started:
        request.config.stash[NODE] = started
        yield started
    del request.config.stash[NODE]


@pytest.fixture(scope="module")
def portal(request: pytest.FixtureRequest, node: Node) -> Iterator[Portal]:
    """A portal whose only place for Deployments will be the node."""
    settings = {"PORTAL_LOCAL_PLANE": "false", "PORTAL_CLUSTER_SCALE_DOWN_SECONDS": "30"}
    with running_portal(**settings) as started:
        request.config.stash[PORTAL_LOGS] = started.home.logs
        yield started


@pytest.fixture(scope="package")
def mirror(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """A mirror of Docker Hub for the Airflow below."""
    with running_mirror(node, tmp_path_factory.mktemp("mirror")) as found:
        yield found


@pytest.fixture(scope="package")
def world(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An Airflow whose tasks are pods. The files that use it are the last ones by their names."""
    with world_with_task_pods(mirror, tmp_path_factory.mktemp("code")) as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and NODE in item.config.stash:
        folder = PROJECT / "test-results" / "cluster" / item.name
        logs = item.config.stash.get(PORTAL_LOGS, None)
        keep_everything(folder, node=item.config.stash[NODE], portal_logs=logs)
    return report
