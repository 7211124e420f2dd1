"""One real node for all tests of this folder. They run with `make test-cluster` alone: a node needs
root, gigabytes and minutes.
"""

from collections.abc import Iterator

import pytest

from tests.cluster import machine
from tests.cluster.node import Node, running_node

LEFT_OUT = "`make test-cluster` runs it: a real node needs root and minutes."


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "cluster" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    if reason := machine.reason_against():
        pytest.skip(reason)
    with running_node() as started:
        yield started
