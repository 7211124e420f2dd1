"""What a storage test makes, and how it says why pods could not write."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig, Connection, ObjectStore
from apps.dataplane.kubernetes.registration.storage_pods import FOLDER, manifests, volumes_of
from apps.dataplane.kubernetes.registration.storage_reasons import failure_of, pending_reason
from tests.dataplane.kubernetes_driver.objects import pod, thing, waiting
from tests.dataplane.kubernetes_render.matrix import make_config as make_full_config
from tests.dataplane.kubernetes_render.pods import find
from tests.dataplane.kubernetes_render.schemas import validate
from tests.dataplane.kubernetes_render.test_pod_security import broken_rules

CONFIG = ClusterConfig(
    connection=Connection(server="https://c.test", ca_certificate=""),
    portal_id="p",
    airflow_url="https://a.test",
    has_keda=True,
    storage_class="fast",
)
BOUND = thing("PersistentVolumeClaim", "logs", status={"phase": "Bound"})
PENDING = thing("PersistentVolumeClaim", "logs", status={"phase": "Pending"})
WORDS = {
    "sh: line 2: portal-test: Permission denied": "the file system refuses user 50000",
    "touch: Operation not permitted": "the file system refuses user 50000",
    "sh: portal-test: Read-only file system": "for reading only",
    "write error: No space left on device": "The volume is full",
    "write error: Disk quota exceeded": "The volume is full",
    "What another pod wrote did not appear.": "they do not share the volume",
    "A file was not continued, or a folder not renamed.": "as one made of a bucket cannot",
    "Killed": "The pod that writes a file failed: Killed",
    "": "failed: the cluster does not say why.",
    "\x1b[31m" + "x" * 9000: "…",
}


def failed(message: str) -> Manifest:
    ended = {"name": "test", "state": {"terminated": {"exitCode": 1, "message": message}}}
    return pod("logs-1", phase="Failed", containerStatuses=[ended])


def event(reason: str, about: str, message: str = "driver says no") -> Manifest:
    return thing("Event", "e", reason=reason, message=message, involvedObject={"name": about})


def test_what_a_pod_says_at_its_end_becomes_a_sentence() -> None:
    for words, sentence in WORDS.items():
        detail, remedy = failure_of(failed(words), user=50000)

        assert sentence in detail, (words, detail)
        assert remedy
        assert len(detail) < 400
        assert detail.isprintable()


@pytest.mark.parametrize(
    ("claim", "pods", "events", "sentence"),
    [
        (PENDING, [pod("logs-1")], [event("ProvisioningFailed", "logs")], "cannot be created: dri"),
        (PENDING, [pod("logs-1")], [event("FailedScheduling", "logs-1")], "No node can run"),
        (BOUND, [pod("logs-1")], [event("FailedMount", "logs-1")], "cannot be mounted"),
        (
            BOUND,
            [pod("logs-1"), pod("logs-2")],
            [event("FailedScheduling", "logs-1"), event("FailedAttachVolume", "logs-2")],
            "cannot be attached to the node",
        ),
        (PENDING, [], [event("ProvisioningFailed", "data")], "not created, and the cluster"),
        (None, [], [], "was not created"),
        (BOUND, [pod("logs-1", phase="Running")], [], "that does not end"),
        (BOUND, [pod("logs-1", phase="Pending")], [], "its pod does not start"),
        (
            BOUND,
            [pod("logs-1", containerStatuses=[waiting("ImagePullBackOff", "no such host")])],
            [event("FailedMount", "logs-1")],
            "cannot be pulled",
        ),
        (BOUND, [pod("logs-1")], [event("FailedMount", "logs-1", "x" * 5000)], "…"),
    ],
)
def test_what_keeps_pods_from_writing_is_said(
    claim: Any, pods: list[Manifest], events: list[Manifest], sentence: str
) -> None:
    detail, remedy = pending_reason(claim=claim, pods=pods, events=events, access="ReadWriteMany")

    assert sentence in detail
    assert remedy
    assert len(detail) < 400


@pytest.mark.parametrize("shell", ["mv() { return 1; }", "grep() { return 1; }", ":"])
def test_what_only_looks_like_a_file_system_is_found_out(shell: str, tmp_path: Path) -> None:
    (data,) = (volume for volume in volumes_of(CONFIG) if volume.name == "data")
    ((_, script),) = data.pods
    program = f"{shell}\n{script.replace(FOLDER, str(tmp_path))}"

    ended = subprocess.run(["bash", "-euc", program], capture_output=True, text=True, check=False)

    if shell == ":":
        assert (ended.returncode, ended.stderr, [*tmp_path.iterdir()]) == (0, "", [])
    else:
        assert ended.returncode == 1
        assert "as one made of a bucket cannot" in failure_of(failed(ended.stderr), user=999)[0]


def test_claims_are_those_that_a_deployment_makes() -> None:
    shared = replace(CONFIG, logs_storage_class="shared", logs_size="7Gi")

    assert [(v.name, v.storage_class, v.access, v.size, v.user) for v in volumes_of(shared)] == [
        ("logs", "shared", "ReadWriteMany", "7Gi", 50_000),
        ("data", "fast", "ReadWriteOnce", "1Gi", 999),
    ]
    assert volumes_of(CONFIG)[0].storage_class == "fast"
    in_a_bucket = replace(CONFIG, object_store=ObjectStore(url="s3://logs"))
    assert [volume.name for volume in volumes_of(in_a_bucket)] == ["data"]


def test_every_object_is_valid_and_every_pod_is_restricted() -> None:
    config = make_full_config(image_pull_secret="{}")
    made = list(manifests(config, "astro-portal-storage-x", volumes_of(config)))
    pods = [one for one in made if one["kind"] == "Pod"]

    assert [one["metadata"]["name"] for one in pods] == ["logs-1", "logs-2", "data-1"]
    for one in made:
        validate(one)
        assert "astro-portal.dev/portal" not in one["metadata"]["labels"], "surveys would find it"
    for one in pods:
        assert list(broken_rules(one)) == []
        assert one["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    labels = find(made, "Namespace", "astro-portal-storage-x")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_pods_of_a_storage_test_speak_to_no_one() -> None:
    policy = find(list(manifests(CONFIG, "one", volumes_of(CONFIG))), "NetworkPolicy", "closed")

    assert policy["metadata"]["namespace"] == "one"
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
