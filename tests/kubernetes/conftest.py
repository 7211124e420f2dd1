"""A real control plane for the tests that ask for one: shared by the whole run, left out with a
sentence where its programs are missing. Tests that use it are slow, so `make check` never waits.
"""

import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.kubernetes import assets
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.fault_proxy import FaultProxy, running_proxy
from tests.kubernetes.running import READY, RunningControlPlane, running_control_plane
from tests.services import STARTED

NEEDS_IT = {"control_plane", "own_control_plane"}
START_SECONDS = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = assets.why_left_out()
    for item in items:
        if NEEDS_IT & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def control_plane() -> ControlPlane:
    """One for all workers of this run, ended when the run has ended."""
    home = Path(os.environ["PORTAL_HOME"])
    folder = home.with_name(f"{home.name}-control-plane")
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / READY).exists():
            _start(folder)
    connection = Connection(**json.loads((folder / READY).read_text()))
    return ControlPlane(folder, connection)


def _start(folder: Path) -> None:
    """Start it beside this run, of which it waits for the end: no worker of the run owns it."""
    arguments = [sys.executable, "-m", "tests.kubernetes.running", str(folder), os.environ[STARTED]]
    started = os.posix_spawn(sys.executable, arguments, os.environ, setsid=True)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / READY).exists():
        ended = os.waitpid(started, os.WNOHANG) != (0, 0)
        assert not ended, "The control plane did not start."
        assert time.monotonic() < deadline, "The control plane did not start in time."
        time.sleep(0.1)


@pytest.fixture
def own_control_plane(tmp_path: Path) -> Iterator[RunningControlPlane]:
    """One that no other test sees: its API server may be taken away."""
    with running_control_plane(tmp_path / "control-plane") as plane:
        yield plane


@pytest.fixture
def ref(control_plane: ControlPlane) -> Iterator[str]:
    with own_name(control_plane) as name:
        yield name


@contextmanager
def own_name(control_plane: ControlPlane) -> Iterator[str]:
    """A name that nothing else has. Its namespace goes afterwards, which is not waited for."""
    name = f"t-{secrets.token_hex(4)}"
    yield name
    names = ["delete", "namespace", namespace_of(name), name]
    control_plane.kubectl(*names, "--ignore-not-found", "--wait=false")


@pytest.fixture
def cluster_config(control_plane: ControlPlane) -> ClusterConfig:
    return config_of(control_plane.connection)


def config_of(connection: Connection) -> ClusterConfig:
    return ClusterConfig(
        connection=connection,
        portal_id=secrets.token_hex(4),
        airflow_url="http://airflow.test",
        has_keda=True,
    )


@pytest.fixture
def faulty(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """A door to the control plane that misbehaves as the test says."""
    with running_proxy(control_plane.connection) as proxy:
        yield proxy


@pytest.fixture
def faulty_config(faulty: FaultProxy) -> ClusterConfig:
    return config_of(faulty.connection)


@pytest.fixture
def kubernetes_plane(cluster_config: ClusterConfig) -> KubernetesPlane:
    return KubernetesPlane(cluster_config)


@pytest.fixture
def faulty_plane(faulty_config: ClusterConfig) -> Iterator[KubernetesPlane]:
    plane = KubernetesPlane(faulty_config)
    yield plane
    plane.close()
