"""The control plane is a real one: its admission is on, and pods do what their image says."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes import assets, go_builds
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.running import RunningControlPlane

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture
def namespace(control_plane: ControlPlane, ref: str) -> str:
    labels = RESTRICTED
    control_plane.create({"kind": "Namespace", "metadata": {"name": ref, "labels": labels}})
    return ref


def job(namespace: str, image: str) -> dict[str, Any]:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "main", "image": image, "securityContext": restricted}
    template = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{**container, "name": "first"}],
        "containers": [container],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work", "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }


@pytest.mark.parametrize(
    ("image", "condition"), [("example/fine:1", "Complete"), ("example/crashes:1", "Failed")]
)
def test_a_job_ends_as_the_name_of_its_image_says(
    control_plane: ControlPlane, namespace: str, image: str, condition: str
) -> None:
    control_plane.create(job(namespace, image))

    control_plane.kubectl(
        "wait", "-n", namespace, "job/work", f"--for=condition={condition}", "--timeout=30s"
    )


def test_a_pod_that_runs_as_root_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "example"}]},
    }

    answer = control_plane.kubectl("create", "-f", "-", given=_v1(pod), may_fail=True)

    assert 'violates PodSecurity "restricted' in answer


def test_kedas_definitions_are_there(control_plane: ControlPlane) -> None:
    assert control_plane.exists("crd", "scaledobjects.keda.sh")


def test_a_service_account_may_do_what_its_rules_say_and_no_more(
    control_plane: ControlPlane, namespace: str
) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    token = control_plane.service_account(namespace, rules=rules)

    allowed = control_plane.kubectl("auth", "can-i", "list", "configmaps", f"--token={token}")
    refused = control_plane.kubectl(
        "auth", "can-i", "list", "secrets", f"--token={token}", may_fail=True
    )

    assert allowed.strip() == "yes"
    assert refused.startswith("no")


def test_what_was_written_is_there_after_the_api_server_was_away(
    own_control_plane: RunningControlPlane,
) -> None:
    own_control_plane.create({"kind": "Namespace", "metadata": {"name": "kept"}})

    own_control_plane.stop_api_server()
    away = own_control_plane.kubectl("get", "namespaces", "--request-timeout=2s", may_fail=True)
    own_control_plane.start_api_server()

    assert "refused" in away
    assert own_control_plane.exists("namespace", "kept")


def test_a_machine_without_go_is_told_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(go_builds, "go_version", lambda: (1, 19))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    assets.main()

    told = capsys.readouterr().out
    assert "A Kubernetes control plane needs etcd, kube-apiserver, " in told
    assert "Go 1.26 or newer is not installed. Install it and run `make kubernetes`" in told
    assert "all others run." in told


def test_a_build_ends_at_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "go"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(go_builds.BuildFailed, match="was not built in time"):
        go_builds.go("build", module=tmp_path, label="etcd", deadline=time.monotonic() + 0.2)


def test_an_unfinished_program_is_not_taken_for_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "go"
    failing.write_text("#!/bin/sh\necho half > .etcd; echo no such module >&2; exit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    etcd = go_builds.Program(name="etcd", module=tmp_path, package="example")

    with pytest.raises(go_builds.BuildFailed, match="no such module"):
        go_builds.build([etcd], tmp_path, time.monotonic() + 5)

    assert not (tmp_path / "etcd").exists()


def _v1(manifest: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", **manifest})
