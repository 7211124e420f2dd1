"""The portal's own manifests on a real Kubernetes API, with its strictest rules for pods."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.control_plane import ControlPlane

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAMESPACE = "astro-portal-system"
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: portal-code}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteMany]
  storageClassName: ""
  claimRef: {name: code, namespace: astro-portal-system}
  hostPath: {path: /nowhere}
"""
STATIC = """\
  - patch: |
      apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: code, namespace: astro-portal-system}
      spec: {storageClassName: ""}
"""


def overlay() -> str:
    """Return the one that operating.md shows, on the volume of this test."""
    page = (DEPLOY.parent / "docs" / "operating.md").read_text()
    after = page.partition("in a folder of your own:\n")[2]
    return (
        after.partition("```yaml\n")[2]
        .partition("```")[0]
        .strip()
        .replace("../astro-portal/deploy", "deploy")
        + "\n"
        + STATIC
    )


@pytest.fixture
def applied(control_plane: ControlPlane, tmp_path: Path) -> Iterator[str]:
    """What kubectl said when everything was applied at once."""
    (tmp_path / "kustomization.yaml").write_text(overlay())
    (tmp_path / "deploy").symlink_to(DEPLOY)
    shutil.copy(DEPLOY / "secrets.example.yaml", tmp_path / "portal-secret.yaml")
    control_plane.kubectl("apply", "-f", "-", given=VOLUME)
    yield control_plane.kubectl("apply", "-k", str(tmp_path), "--validate=strict", may_fail=True)
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    control_plane.kubectl("delete", "pv", "portal-code", "--wait=false")


def test_everything_is_applied_and_comes_up(
    control_plane: ControlPlane, applied: str, tmp_path: Path
) -> None:
    waiting = ["wait", "-n", NAMESPACE, "--timeout=90s"]
    control_plane.kubectl(*waiting, "--for=condition=Complete", "job/migrate")
    control_plane.kubectl(*waiting, "--for=condition=Available", "deployment", "--all")

    assert "Warning" not in applied
    assert "error" not in applied.lower()
    pods = control_plane.objects("pods", NAMESPACE)
    assert len(pods) == 12
    images = {one["image"] for pod in pods for one in pod["spec"]["containers"]}
    assert images == {"registry.example.org/astro-portal:0.1.0"}
    hosts = [one["spec"]["rules"][0]["host"] for one in control_plane.objects("ingress", NAMESPACE)]
    assert sorted(hosts) == ["airflow.your.example", "portal.your.example"]
    assert not any("kube-api-access" in str(pod["spec"].get("volumes")) for pod in pods)

    control_plane.kubectl("apply", "-k", str(tmp_path), "--validate=strict")
    again = control_plane.objects("deployments", NAMESPACE)
    assert {one["metadata"]["generation"] for one in again} == {1}, "nothing is rolled out twice"


def test_the_role_is_one_that_kubernetes_takes_and_no_administrator(
    control_plane: ControlPlane,
) -> None:
    said = control_plane.kubectl(
        "apply", "--validate=strict", "-f", str(DEPLOY / "cluster-access.yaml"), may_fail=True
    )

    account = "--as=system:serviceaccount:astro-portal-access:astro-portal"
    for verb, what in (("create", "namespaces"), ("patch", "deployments.apps"), ("get", "secrets")):
        assert control_plane.kubectl("auth", "can-i", verb, what, account).strip() == "yes"
    for verb, what in (("delete", "nodes"), ("create", "clusterroles"), ("escalate", "roles")):
        answer = control_plane.kubectl("auth", "can-i", verb, what, account, may_fail=True)
        assert answer.split()[0] == "no"
    assert "error" not in said.lower()
    # All but the policy of task pods, which other tests share.
    own = ("namespace/astro-portal-access", "clusterrole/astro-portal")
    control_plane.kubectl("delete", *own, "clusterrolebinding/astro-portal")
