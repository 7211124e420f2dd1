"""A storage test on a real API server: its claims, its pods, which are played, and its traces."""

import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.registration import storage_trial
from apps.dataplane.kubernetes.registration.storage_trial import try_storage
from apps.dataplane.status import Finding
from tests.kubernetes.control_plane import ControlPlane

LABEL = "astro-portal.dev/storage-test"


@pytest.fixture
def trial(cluster_config: ClusterConfig, control_plane: ControlPlane) -> Any:
    """Test the storage for two seconds, and be sure that nothing is left."""

    def act(wait_seconds: float = 2, **changes: Any) -> tuple[Finding, ...]:
        config = replace(cluster_config, **changes)
        found = try_storage(Api(config.connection), config, wait_seconds=wait_seconds)
        assert not control_plane.exists("namespaces", "-l", f"{LABEL}={config.portal_id}")
        return found

    return act


def end_pods(control_plane: ControlPlane, portal_id: str, phases: dict[str, Any]) -> None:
    """Play what pods on a node would do: end as they are told."""
    deadline = time.monotonic() + 30
    while phases and time.monotonic() < deadline:
        pods = json.loads(
            control_plane.kubectl("get", "pods", "-A", "-l", f"{LABEL}={portal_id}", "-o", "json")
        )
        for pod in pods["items"]:
            metadata = pod["metadata"]
            status = phases.get(metadata["name"])
            if status and pod["status"].get("phase") == "Running":
                change = f"--patch={json.dumps({'status': status})}"
                where = f"--namespace={metadata['namespace']}"
                control_plane.kubectl(
                    "patch", "pod", metadata["name"], where, "--subresource=status", change
                )
                del phases[metadata["name"]]
        time.sleep(0.2)


def played(control_plane: ControlPlane, config: ClusterConfig, **phases: Any) -> threading.Thread:
    named = {name.replace("_", "-"): status for name, status in phases.items()}
    thread = threading.Thread(target=end_pods, args=(control_plane, config.portal_id, named))
    thread.start()
    return thread


def test_pods_that_write_are_said_and_everything_is_removed(
    trial: Any, cluster_config: ClusterConfig, control_plane: ControlPlane
) -> None:
    done = {"phase": "Succeeded"}
    player = played(control_plane, cluster_config, logs_1=done, logs_2=done, data_1=done)

    found = trial(wait_seconds=25)

    player.join()
    assert [(one.title, one.is_ok) for one in found] == [
        ("Storage of logs and code", True),
        ("Storage of databases", True),
    ]
    assert "each other's files on a volume of the default class (ReadWriteMany)" in found[0].detail


def test_a_pod_that_may_not_write_is_said(
    trial: Any, cluster_config: ClusterConfig, control_plane: ControlPlane
) -> None:
    ended = {"exitCode": 1, "message": "portal-test: Permission denied"}
    status = {
        "name": "test",
        "image": "x",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": ended},
    }
    done = {"phase": "Succeeded"}
    failed = {"phase": "Failed", "containerStatuses": [status]}
    player = played(control_plane, cluster_config, logs_1=failed, data_1=done)

    [logs, data] = trial(wait_seconds=25)

    player.join()
    assert "the file system refuses user 50000" in logs.detail
    assert data.is_ok


def test_a_class_that_is_not_there_and_a_pod_that_never_ends_are_said(trial: Any) -> None:
    [logs, data] = trial(wait_seconds=12, logs_storage_class="gone")

    assert "The volume cannot be created" in logs.detail
    assert '"gone" not found' in logs.detail
    assert "A pod writes, and that does not end." in data.detail
    assert not logs.is_ok
    assert not data.is_ok


def test_what_the_portal_may_not_do_is_said(
    cluster_config: ClusterConfig, control_plane: ControlPlane
) -> None:
    token = control_plane.service_account(
        "reads-pods",
        rules=[{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list"]}],
    )
    connection = control_plane.connection_with(token=token)

    [finding] = try_storage(Api(connection), replace(cluster_config, connection=connection))

    assert "Nothing was tried." in finding.detail
    assert "namespaces" in finding.detail


def test_what_a_lost_process_left_is_removed_by_the_next_test(
    trial: Any, cluster_config: ClusterConfig, control_plane: ControlPlane, monkeypatch: Any
) -> None:
    labels = {LABEL: cluster_config.portal_id}
    name = f"astro-portal-storage-{cluster_config.portal_id}"
    control_plane.create({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    monkeypatch.setattr(storage_trial, "LEFT_BEHIND", storage_trial.LEFT_BEHIND * 0)

    trial(wait_seconds=1)

    control_plane.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=20s")
