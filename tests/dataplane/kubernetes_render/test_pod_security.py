"""Every pod obeys Pod Security "restricted", container by container.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from tests.dataplane.kubernetes_render.matrix import (
    CASES,
    manifests_of,
)
from tests.dataplane.kubernetes_render.pods import containers_of, pods_in

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SECCOMP = ("RuntimeDefault", "Localhost")


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(case: str) -> None:
    pods = [pod for manifest in manifests_of(case) for pod in pods_in(manifest)]

    assert len(pods) >= 5
    for pod in pods:
        assert list(broken_rules(pod)) == []


@pytest.mark.parametrize(
    ("where", "change", "rule"),
    [
        ("pod", {"hostNetwork": True}, "host"),
        ("pod", {"hostPID": True}, "host"),
        ("pod", {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volume"),
        ("pod", {"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "user"),
        ("pod", {"securityContext": {}}, "seccomp"),
        ("container", {"securityContext": {"privileged": True}}, "privileged"),
        ("container", {"securityContext": {}}, "escalation"),
        ("container", {"ports": [{"containerPort": 80, "hostPort": 80}]}, "host port"),
    ],
)
def test_a_broken_rule_is_found(where: str, change: dict[str, Any], rule: str) -> None:
    pod = next(pod for m in manifests_of("celery-keda") for pod in pods_in(m))
    (pod["spec"] if where == "pod" else pod["spec"]["containers"][0]).update(change)

    assert any(rule in broken for broken in broken_rules(pod))


def test_the_namespace_has_the_rules_enforced() -> None:
    for manifest in manifests_of("server-and-store"):
        if manifest["kind"] == "Namespace":
            assert manifest["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == (
                "restricted"
            )


def broken_rules(pod: Manifest) -> Iterator[str]:
    """Yield a sentence for each rule that a pod breaks."""
    spec = pod["spec"]
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"host namespace: {key}"
    for volume in spec.get("volumes", []):
        if not VOLUMES & volume.keys():
            yield f"volume {volume['name']} is of a kind that is not allowed"
    security = spec.get("securityContext", {})
    if security.get("sysctls"):
        yield "sysctls"
    for container in containers_of(pod):
        for rule in _broken_by_container(container, security):
            yield f"{container['name']}: {rule}"


def _broken_by_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    capabilities = own.get("capabilities", {})
    added = set(capabilities.get("add", ()))
    probes = [container.get(f"{kind}Probe", {}) for kind in ("liveness", "readiness", "startup")]
    broken = {
        "privileged": own.get("privileged"),
        "privilege escalation": own.get("allowPrivilegeEscalation") is not False,
        "may run as root": both.get("runAsNonRoot") is not True,
        "user is root": both.get("runAsUser") == 0,
        "seccomp": both.get("seccompProfile", {}).get("type") not in SECCOMP,
        "capabilities": capabilities.get("drop") != ["ALL"] or added - {"NET_BIND_SERVICE"},
        "procMount": own.get("procMount", "Default") != "Default",
        "SELinux": both.get("seLinuxOptions"),
        "Windows": both.get("windowsOptions"),
        "AppArmor": both.get("appArmorProfile", {}).get("type") == "Unconfined",
        "host port": any(port.get("hostPort") for port in container.get("ports", [])),
        "host of a probe": any(probe.get("httpGet", {}).get("host") for probe in probes),
    }
    yield from (rule for rule, is_broken in broken.items() if is_broken)
