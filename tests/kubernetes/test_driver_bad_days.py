"""Days on which a cluster says no: the object and the remedy are named, others go on."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.kubernetes.api import kinds
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.spec import DeploymentSpec
from tests.dataplane.specs import make_runtime
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import remove, settle, small_spec

PATIENCE_SECONDS = 180


def with_image(ref: str, name: str, **changes: Any) -> DeploymentSpec:
    runtime = replace(make_runtime(), image=f"registry.test/{name}:1")
    return small_spec(ref, runtime=runtime, **changes)


def detail_until(plane: KubernetesPlane, spec: DeploymentSpec, words: str) -> str:
    """Repeat passes until a step says `words`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        progress = plane.apply(spec=spec)
        details = " ".join(step.detail for step in progress.steps)
        if words in details:
            return details
        assert time.monotonic() < deadline, progress
        time.sleep(0.5)


def failure(plane: KubernetesPlane, spec: DeploymentSpec) -> Permanent:
    """Repeat passes until one fails for good."""
    with pytest.raises(Permanent) as raised:
        settle(plane, spec, seconds=PATIENCE_SECONDS)
    return raised.value


def test_an_image_that_cannot_be_pulled_is_named_and_the_old_one_goes_on(
    kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    good = small_spec(ref)
    settle(kubernetes_plane, good)
    bad = with_image(ref, "cannot-be-pulled", revision=2)

    detail = detail_until(kubernetes_plane, bad, "cannot be pulled")

    assert "registry.test/cannot-be-pulled:1" in detail
    assert kubernetes_plane.observe(ref=ref).health == "healthy"

    settle(kubernetes_plane, replace(good, revision=3))

    assert kubernetes_plane.observe(ref=ref).applied_revision == 3


def test_an_image_that_is_gone_when_a_pod_moves_is_named_with_what_to_do(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    settle(kubernetes_plane, small_spec(ref))
    namespace = namespace_of(ref)
    pods = control_plane.objects("pods", namespace)
    name = next(
        one["metadata"]["name"] for one in pods if one["metadata"]["name"].startswith("scheduler-")
    )
    image = "registry.test/team/etl@sha256:" + "a" * 64
    said = f'failed to pull and unpack image "{image}": manifest unknown'
    container = {
        **{"name": "scheduler", "image": image, "imageID": "", "ready": False, "restartCount": 0},
        "state": {"waiting": {"reason": "ErrImagePull", "message": said}},
    }
    # As the kubelet of the node that it moved to says it.
    conditions = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
    status = {"phase": "Pending", "conditions": conditions, "containerStatuses": [container]}
    patch = json.dumps({"status": status})
    control_plane.kubectl(
        *("patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge"),
        *("-p", patch),
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = kubernetes_plane.observe(ref=ref)
        [scheduler] = [one for one in found.components if one.name == "scheduler"]
        if scheduler.state == "failed" or time.monotonic() > deadline:
            break
        time.sleep(0.5)

    assert scheduler.state == "failed"
    assert f"The image {image} cannot be pulled" in scheduler.detail
    assert "Push it there again, or go back to a revision with another image" in scheduler.detail
    # What observability makes the incident "Image cannot be pulled" of.
    assert scheduler.detail.startswith("The image ")


def test_a_migration_that_fails_stops_the_revision_and_is_made_anew(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    error = failure(kubernetes_plane, with_image(ref, "crashes"))

    assert "Job/migrate-" in error.message
    assert not control_plane.exists("deployment", "scheduler", "-n", namespace_of(ref))
    first = control_plane.objects("jobs", namespace_of(ref))[0]["metadata"]["uid"]

    kubernetes_plane.apply(spec=with_image(ref, "crashes"))
    jobs = control_plane.objects("jobs", namespace_of(ref))

    assert [job["metadata"]["uid"] for job in jobs] != [first]

    settle(kubernetes_plane, small_spec(ref, revision=2))

    assert kubernetes_plane.observe(ref=ref).health == "healthy"


def test_a_quota_that_refuses_is_named(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref)
    kubernetes_plane.apply(spec=spec)
    tight = {
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": namespace_of(ref)},
        "spec": {"hard": {"count/deployments.apps": "0"}},
    }
    control_plane.create(tight)

    error = failure(kubernetes_plane, spec)

    assert "Deployment/" in error.message
    assert "exceeded quota: tight" in error.message

    control_plane.kubectl("delete", "resourcequota", "tight", "-n", namespace_of(ref))
    settle(kubernetes_plane, spec)

    assert kubernetes_plane.observe(ref=ref).health == "healthy"


def test_pods_that_a_quota_refuses_are_named_where_people_look(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    where = ("-n", namespace_of(ref))
    tight = {
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": namespace_of(ref)},
        "spec": {"hard": {"pods": "0"}},
    }
    control_plane.create(tight)
    control_plane.kubectl("delete", "pods", "--all", "--force", "--grace-period=0", *where)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while "exceeded quota" not in (seen := kubernetes_plane.observe(ref=ref)).message:
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)

    assert seen.health == "unhealthy"


def test_a_quota_without_room_for_a_task_is_named(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    """The pods of tasks are made by Airflow, and no event tells of those that are refused."""
    settle(kubernetes_plane, small_spec(ref))
    before = kubernetes_plane.full_quota(ref=ref)
    tight = {
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": namespace_of(ref)},
        "spec": {"hard": {"pods": "1", "requests.memory": "900Gi"}},
    }
    control_plane.create(tight)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (said := kubernetes_plane.full_quota(ref=ref)):
        assert time.monotonic() < deadline
        time.sleep(0.5)

    assert before == ""
    assert said.startswith("tight has no room for the pod of one more task: pods ")
    assert "memory" not in said


def test_a_rule_of_the_cluster_that_forbids_is_quoted(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": ref},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["deployments"],
                    }
                ],
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": namespace_of(ref)}
                },
            },
            "validations": [{"expression": "false", "message": "No Deployments on Sundays"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": ref},
        "spec": {"policyName": ref, "validationActions": ["Deny"]},
    }
    control_plane.create(policy, binding)
    try:
        # The API server takes a moment to heed a new policy.
        time.sleep(2)
        error = failure(kubernetes_plane, small_spec(ref))
    finally:
        control_plane.kubectl("delete", "validatingadmissionpolicybinding", ref)
        control_plane.kubectl("delete", "validatingadmissionpolicy", ref)

    assert "Deployment/" in error.message
    assert "No Deployments on Sundays" in error.message


def test_a_field_that_cannot_be_changed_names_the_object_and_what_to_do(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    where = ("-n", namespace_of(ref))
    text = control_plane.kubectl("get", "deployment", "scheduler", *where, "-o=json")
    theirs = json.loads(text)
    control_plane.kubectl("delete", "deployment", "scheduler", *where)
    template = theirs["spec"]["template"]
    template["metadata"]["labels"]["theirs"] = "yes"
    theirs["spec"]["selector"]["matchLabels"]["theirs"] = "yes"
    for field in ("uid", "resourceVersion", "managedFields", "generation", "creationTimestamp"):
        theirs["metadata"].pop(field, None)
    theirs.pop("status")
    control_plane.create(theirs)

    error = failure(kubernetes_plane, spec)

    assert "Deployment/scheduler" in error.message
    assert "kubectl" in error.message

    control_plane.kubectl("delete", "deployment", "scheduler", *where)
    settle(kubernetes_plane, spec)


def test_a_namespace_of_somebody_else_is_never_touched(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    control_plane.kubectl("create", "namespace", namespace_of(ref))

    with pytest.raises(Permanent, match="did not make"):
        kubernetes_plane.apply(spec=small_spec(ref))
    with pytest.raises(Permanent, match="did not make"):
        kubernetes_plane.delete(ref=ref)

    assert not kubernetes_plane.observe(ref=ref).exists
    assert control_plane.exists("namespace", namespace_of(ref))
    assert control_plane.objects("deployments", namespace_of(ref)) == []


def test_a_namespace_that_does_not_end_says_what_keeps_it(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    stuck = {
        "kind": "ConfigMap",
        "metadata": {
            "name": "stuck",
            "namespace": namespace_of(ref),
            "finalizers": ["vendor.test/hold"],
        },
    }
    control_plane.create(stuck)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        progress = kubernetes_plane.delete(ref=ref)
        assert not progress.is_done
        detail = " ".join(step.detail for step in progress.steps)
        if "vendor.test/hold" in detail:
            break
        assert time.monotonic() < deadline, progress
        time.sleep(0.5)

    with pytest.raises(Temporary, match="being deleted"):
        kubernetes_plane.apply(spec=replace(spec, revision=2))

    patch = '{"metadata": {"finalizers": null}}'
    where = ("-n", namespace_of(ref), "--type=merge", "-p", patch)
    control_plane.kubectl("patch", "configmap", "stuck", *where)
    remove(kubernetes_plane, ref)

    assert not control_plane.exists("namespace", namespace_of(ref))


def test_a_cluster_that_lost_keda_says_which_kind_it_does_not_know(
    kubernetes_plane: KubernetesPlane, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker-default", "namespace": "default"},
    }
    monkeypatch.setattr("apps.dataplane.kubernetes.api.kinds._BY_NAME", _without_keda())

    with pytest.raises(Permanent) as raised:
        kubernetes_plane.api.apply(unknown)

    assert "does not know the kind ScaledObject" in raised.value.message


def _without_keda() -> dict:

    gone = replace(kinds.SCALED_OBJECT, api_version="keda.sh/v0gone")
    return {**kinds._BY_NAME, ("keda.sh", "ScaledObject"): gone}


def test_a_server_that_refuses_a_secret_does_not_get_it_quoted(
    kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    settle(kubernetes_plane, small_spec(ref))
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bad", "namespace": namespace_of(ref)},
        "data": {"password": "canary is no base64"},
        "odd": "canary-too",
    }

    with pytest.raises(Permanent) as raised:
        kubernetes_plane.api.apply(manifest)

    assert "canary" not in str(raised.value)
    assert "canary" not in repr(raised.value.__context__)
    assert "Secret/bad" in raised.value.message


def test_a_workload_that_cannot_be_scheduled_says_so(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    plane = kubernetes_plane
    settle(plane, small_spec(ref))
    where = ("-n", namespace_of(ref))
    nowhere = {"spec": {"template": {"spec": {"nodeSelector": {"there.test/is": "none"}}}}}
    control_plane.kubectl("patch", "deployment", "scheduler", *where, "-p", json.dumps(nowhere))
    deadline = time.monotonic() + PATIENCE_SECONDS

    def scheduler() -> str:
        return next(c.detail for c in plane.observe(ref=ref).components if c.name == "scheduler")

    while "No node can run it" not in (detail := scheduler()):
        assert time.monotonic() < deadline, detail
        time.sleep(1)
