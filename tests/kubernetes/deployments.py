"""Deployments on the control plane of tests: made by a plane, looked at through kubectl."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import FIELD_MANAGER, namespace_of
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress
from tests.dataplane.specs import make_spec
from tests.kubernetes.control_plane import ControlPlane

PAUSE_SECONDS = 0.5


@dataclass
class Settled:
    """How many passes it took, and what was wrong on the way."""

    passes: int = 0
    errors: list[Temporary] = field(default_factory=list)


def small_spec(ref: str, **changes: Any) -> DeploymentSpec:
    """Return the Deployment with the fewest objects."""
    return make_spec(ref, **{"executor": "local", "queues": (), **changes})


def settle(plane: DataPlane, spec: DeploymentSpec, *, seconds: float = 180) -> Settled:
    """Repeat passes, as the portal does, until one says that all is as wanted."""
    return _repeat(lambda: plane.apply(spec=spec), seconds)


def remove(plane: DataPlane, ref: str, *, seconds: float = 180) -> Settled:
    return _repeat(lambda: plane.delete(ref=ref), seconds)


def _repeat(act: Callable[[], Progress], seconds: float) -> Settled:
    settled, deadline = Settled(), time.monotonic() + seconds
    while True:
        settled.passes += 1
        said: object
        pause: float = PAUSE_SECONDS
        try:
            progress = act()
            if progress.is_done:
                return settled
            said = [step for step in progress.steps if step.state not in ("done", "skipped")]
        except Temporary as error:
            settled.errors.append(error)
            said, pause = error, max(pause, error.retry_after_seconds or 0)
        assert time.monotonic() < deadline, f"not within {seconds} s: {said}"
        time.sleep(pause)


def differences(control_plane: ControlPlane, config: ClusterConfig, spec: DeploymentSpec) -> str:
    """Let kubectl say in what the cluster differs from what is wanted, "" for nothing."""
    items = [item for stage in render(spec=spec, config=config) for item in stage.objects]
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    return control_plane.kubectl(
        *("diff", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"),
        *("-f", "-"),
        given=json.dumps(listed),
        may_fail=True,
    )


def workload(control_plane: ControlPlane, ref: str, name: str) -> dict[str, Any]:
    """Return a Deployment object of an Airflow."""
    text = control_plane.kubectl("get", "deployment", name, "-n", namespace_of(ref), "-o", "json")
    found: dict[str, Any] = json.loads(text)
    return found


def generations(control_plane: ControlPlane, ref: str) -> dict[str, int]:
    """Return how often each Deployment object was changed: 1 is never."""
    items = control_plane.objects("deployments", namespace_of(ref))
    return {item["metadata"]["name"]: item["metadata"]["generation"] for item in items}
