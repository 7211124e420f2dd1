"""New code reaches pods that run, and they go on running."""

from dataclasses import replace
from pathlib import Path

from apps.dataplane.kubernetes.apply.nudge_configmaps import CODE_ANNOTATION
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.dataplane.specs import make_code
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle, small_spec


def test_pods_that_read_code_are_told_of_it_and_go_on(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str, tmp_path: Path
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    before = _pods(control_plane, ref)
    code = make_code(tmp_path, {"dag.py": "x = 1"})

    settle(kubernetes_plane, replace(spec, revision=2, code=code))

    after = _pods(control_plane, ref)
    assert after.keys() == before.keys()
    assert {name: mark for name, mark in after.items() if mark} == {
        name: code.digest
        for name in before
        if name.startswith(("dag-processor-", "scheduler-", "triggerer-"))
    }
    assert kubernetes_plane.observe(ref=ref).code_digest == code.digest


def _pods(control_plane: ControlPlane, ref: str) -> dict[str, str]:
    """Return the mark of each pod by its name."""
    pods = control_plane.objects("pods", namespace_of(ref))
    return {
        pod["metadata"]["name"]: pod["metadata"].get("annotations", {}).get(CODE_ANNOTATION, "")
        for pod in pods
    }
