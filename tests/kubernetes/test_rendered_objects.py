"""A real API server takes everything that the renderer makes, without a warning, and lets its pods
be: the namespaces enforce Pod Security "restricted".
"""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, FIELD_MANAGER, namespace_of
from apps.dataplane.kubernetes.render import render
from tests.dataplane.kubernetes_render.matrix import CASES, manifests
from tests.dataplane.kubernetes_render.pods import pods_in
from tests.dataplane.local_world import eventually
from tests.dataplane.specs import make_code
from tests.kubernetes.control_plane import ControlPlane

USER_IDS = "openshift.io/sa.scc.uid-range"
STRICT = ("--server-side", f"--field-manager={FIELD_MANAGER}", "--validate=strict")


def _apply(plane: ControlPlane, objects: list[Manifest], *options: str) -> str:
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    command = ("apply", *STRICT, *options, "-f", "-")
    return plane.kubectl(*command, given=json.dumps(listed), may_fail=True)


def _objects(case: str, ref: str, **changes: Any) -> list[Manifest]:
    spec, config = CASES[case]
    # The longest ref there is, and no other test's.
    ref = ref + spec.ref[len(ref) :] if case == "longest-names" else ref
    return manifests(render(spec=replace(spec, ref=ref, **changes), config=config))


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_object_without_a_warning(
    control_plane: ControlPlane, ref: str, case: str
) -> None:
    objects = _objects(case, ref)
    namespaces = [manifest for manifest in objects if manifest["kind"] == "Namespace"]

    said = _apply(control_plane, namespaces)
    tried = _apply(control_plane, objects, "--dry-run=server")
    applied = _apply(control_plane, objects)

    assert said.count("serverside-applied") == len(namespaces)
    for lines in (tried.splitlines(), applied.splitlines()):
        assert [line for line in lines if "serverside-applied" not in line] == []
        assert len(lines) == len(objects)


@pytest.mark.parametrize("case", ["celery-fixed", "kubernetes"])
def test_pods_are_let_in_by_pod_security_and_quota(
    control_plane: ControlPlane, ref: str, case: str
) -> None:
    objects = _objects(case, ref)

    _apply(control_plane, objects)

    assert _pods_let_in(control_plane, ref, objects) == (set(), [])


@pytest.mark.parametrize("case", ["celery-fixed", "kubernetes"])
def test_pods_name_no_user_where_their_namespace_has_a_range_of_its_own(
    control_plane: ControlPlane, ref: str, case: str
) -> None:
    """The policy stands in for the security context constraint restricted-v2 of OpenShift, as far
    as that refuses; OpenShift then fills in the first user of the range, and this does not.
    """
    spec, config = CASES[case]
    spec = replace(spec, ref=ref)
    objects = manifests(render(spec=spec, config=replace(config, gives_user_ids=True)))
    usual = manifests(render(spec=spec, config=config))
    namespace = next(one for one in objects if one["kind"] == "Namespace")
    _apply(control_plane, [namespace])
    annotation = f"{USER_IDS}=1000660000/10000"
    control_plane.kubectl("annotate", "namespace", namespace_of(ref), annotation)
    control_plane.create(*_user_id_policy(ref))

    try:
        template = next(pod for one in usual if one["kind"] == "Deployment" for pod in pods_in(one))
        # Its own account is not there yet.
        spec_of_pod = {**template["spec"], "serviceAccountName": "default"}
        metadata = {"name": "usual", "namespace": namespace_of(ref)}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec_of_pod}
        eventually(lambda: _is_refused(control_plane, pod), seconds=30)
        _apply(control_plane, objects)
        found = _pods_let_in(control_plane, ref, objects)
    finally:
        for one in reversed(_user_id_policy(ref)):
            control_plane.kubectl("delete", one["kind"], one["metadata"]["name"])

    assert found == (set(), [])


def _is_refused(control_plane: ControlPlane, pod: Manifest) -> bool:
    tried = control_plane.kubectl(
        "create", "--dry-run=server", "-f", "-", given=json.dumps(pod), may_fail=True
    )
    return "outside of the range" in tried


def _user_id_policy(ref: str) -> tuple[Manifest, Manifest]:
    name = f"user-ids-{ref}"
    group = "admissionregistration.k8s.io/v1"
    ours = {"matchLabels": {DEPLOYMENT_LABEL: ref}}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    ids = [
        f"has({context}) && has({context}.{name}) ? [{context}.{name}] : []"
        for context in ("object.spec.securityContext",)
        for name in ("runAsUser", "runAsGroup", "fsGroup")
    ]
    of_containers = [
        f"(has(object.spec.{kind}) ? object.spec.{kind} : []).filter(c, "
        "has(c.securityContext) && has(c.securityContext.runAsUser))"
        ".map(c, c.securityContext.runAsUser)"
        for kind in ("containers", "initContainers")
    ]
    numbers = " + ".join(f"({one})" for one in (*ids, *of_containers))
    given = f"namespaceObject.metadata.annotations['{USER_IDS}'].split('/')"
    policy = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"namespaceSelector": ours, "resourceRules": [rule]},
            "variables": [
                {"name": "range", "expression": f"{given}.map(n, int(n))"},
                {"name": "ids", "expression": numbers},
            ],
            "validations": [
                {
                    "expression": "variables.ids.all(n, n >= variables.range[0] && "
                    "n < variables.range[0] + variables.range[1])",
                    "message": "A user or group is outside of the range of the namespace.",
                }
            ],
        },
    }
    binding = {
        "apiVersion": group,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return policy, binding


def _pods_let_in(
    control_plane: ControlPlane, ref: str, objects: list[Manifest]
) -> tuple[set[str], list[str]]:
    """Wait for a pod of each component; return those that have none, and what was refused."""
    wanted = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for manifest in objects
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job")
        for pod in pods_in(manifest)
    }
    deadline = time.monotonic() + 60
    found: set[str] = set()
    while wanted - found and time.monotonic() < deadline:
        pods = control_plane.objects("pods", namespace_of(ref))
        found = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods}
        time.sleep(0.5)
    events = control_plane.objects("events", namespace_of(ref))
    refused = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    return wanted - found, refused


def test_applying_the_same_again_writes_nothing(control_plane: ControlPlane, ref: str) -> None:
    objects = _objects("celery-keda", ref)
    claims = ("persistentvolumeclaims", "configmaps", "secrets", "services", "networkpolicies")

    def versions() -> dict[str, str]:
        return {
            f"{kind}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for kind in claims
            for item in control_plane.objects(kind, namespace_of(ref))
            if item["metadata"].get("labels", {}).get("astro-portal.dev/deployment")
        }

    _apply(control_plane, objects)
    before = versions()
    _apply(control_plane, objects)

    assert {name for name in before if not name.startswith("persistent")}
    assert {n: v for n, v in versions().items() if not n.startswith("persistent")} == {
        n: v for n, v in before.items() if not n.startswith("persistent")
    }


def test_the_largest_code_there_may_be_fits_into_the_cluster(
    control_plane: ControlPlane, ref: str, tmp_path: Any
) -> None:
    # Hexadecimal text in a stored archive: 11.9 MB.
    code = make_code(tmp_path, {"big.py": "0123456789abcdef" * 743_750})
    objects = _objects("celery-keda", ref, code=code)
    slots = [m for m in objects if m["metadata"]["name"].startswith("code-")]
    namespace = next(m for m in objects if m["kind"] == "Namespace")

    _apply(control_plane, [namespace])
    for slot in slots:
        said = _apply(control_plane, [slot])
        assert "serverside-applied" in said, said

    assert len(slots) == 12


def test_an_edit_of_everything_changes_nothing_that_is_immutable(
    control_plane: ControlPlane, ref: str
) -> None:
    """From one kind of Deployment and cluster to another, and back."""
    for case in ("celery-keda", "two-queues-variables", "kubernetes", "celery-fixed", "local"):
        objects = _objects(case, ref)

        said = _apply(control_plane, objects)

        assert said.count("serverside-applied") == len(objects), said
