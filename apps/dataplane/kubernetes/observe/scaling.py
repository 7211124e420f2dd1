"""What KEDA and the HorizontalPodAutoscaler decide about workers, in the terms of the portal.

KEDA starts the first worker and stops the last one; in between the autoscaler that it makes
decides. Neither keeps a record, so this reads what they decide now. Their words are quoted, never
interpreted.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import AUTOSCALER, SCALED_OBJECT, Manifest
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.observe.objects import kstatus
from apps.dataplane.kubernetes.observe.objects.live_objects import selector
from apps.dataplane.kubernetes.observe.reasons import quote
from apps.dataplane.spec import DeploymentSpec, WorkerQueue
from apps.dataplane.status import ScalingDecision, ScalingReason
from apps.dataplane.untrusted import number_of, text_of

MOST_WORKERS, MOST_MESSAGE = 10_000, 300
PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")
# Source: k8s.io/kubernetes/pkg/controller/podautoscaler/horizontal.go.
_LIMITS: Mapping[str, ScalingReason] = {
    "TooManyReplicas": "maximum",
    "TooFewReplicas": "minimum",
    "ScaleUpLimit": "up",
    "ScaleDownLimit": "down",
}
_STABILIZED = ("ScaleDownStabilized", "ScaleUpStabilized")


def read_scaling_decisions(
    api: Api, *, spec: DeploymentSpec, portal_id: str, cooldown_seconds: int
) -> tuple[ScalingDecision, ...]:
    """Return what is decided about the queues of a Deployment now, in two requests. A queue without
    a ScaledObject has none, and a cluster that does not answer has none at all.
    """
    home, labels = api.home(spec.ref), selector(portal_id=portal_id, ref=spec.ref)
    # The labels of an autoscaler are KEDA's; the namespace is the Deployment's alone.
    asked = ((SCALED_OBJECT, labels), (AUTOSCALER, ""))
    try:
        scalers, autoscalers = in_parallel(
            lambda kind: api.list(kind[0], namespace=home, labels=kind[1]), asked
        )
    except DataPlaneError:
        return ()
    by_name = {item["metadata"]["name"]: item for item in (*scalers, *autoscalers)}
    now = datetime.now(UTC)
    return tuple(
        decision_of(
            queue,
            scaler=by_name[names.worker_name(queue.name)],
            autoscaler=by_name.get(autoscaler_name(queue)),
            cooldown_seconds=cooldown_seconds,
            now=now,
        )
        for queue in spec.queues
        if names.worker_name(queue.name) in by_name
    )


def decision_of(
    queue: WorkerQueue,
    *,
    scaler: Manifest,
    autoscaler: Manifest | None,
    cooldown_seconds: int,
    now: datetime,
) -> ScalingDecision:
    """Return what is decided about a queue now, from its ScaledObject and the autoscaler that KEDA
    made for it. Without one, KEDA keeps the queue at its minimum.
    """
    status = (autoscaler or {}).get("status") or {}
    workers = _count(status.get("currentReplicas"))
    wanted = _count(status.get("desiredReplicas")) if autoscaler else queue.min_workers
    reason, message = _reason(scaler, autoscaler, workers=workers, wanted=wanted)
    return ScalingDecision(
        at=now,
        queue=queue.name,
        queued=None,
        running=None,
        ready=None,
        concurrency=queue.concurrency,
        min_workers=queue.min_workers,
        max_workers=queue.max_workers,
        cooldown_seconds=cooldown_seconds,
        wanted=wanted,
        workers=workers,
        reason=reason,
        message=text_of(message, MOST_MESSAGE),
    )


def autoscaler_name(queue: WorkerQueue) -> str:
    """Name the autoscaler that KEDA makes for the ScaledObject of a queue."""
    return f"keda-hpa-{names.worker_name(queue.name)}"


def _reason(
    scaler: Manifest, autoscaler: Manifest | None, *, workers: int, wanted: int
) -> tuple[ScalingReason, str]:
    annotations = scaler["metadata"].get("annotations") or {}
    if kstatus.is_true(scaler, "Paused") or any(key in annotations for key in PAUSED):
        return "paused", ""
    failing = _failing(scaler, autoscaler)
    if failing is not None:
        return "not-counted", failing
    if autoscaler is None:
        return "steady", ""
    able = kstatus.condition(autoscaler, "AbleToScale")
    limited = kstatus.condition(autoscaler, "ScalingLimited")
    if able.get("reason") in _STABILIZED:
        return "cooldown", _words(able)
    if limited.get("status") == "True":
        reason = _LIMITS.get(str(limited.get("reason")), "steady")
        return reason, _words(limited)
    if wanted != workers:
        return ("up" if wanted > workers else "down"), ""
    return "steady", ""


def _failing(scaler: Manifest, autoscaler: Manifest | None) -> str | None:
    """Return the words of whoever cannot count tasks, None while they are counted."""
    ready = kstatus.condition(scaler, "Ready")
    if kstatus.is_true(scaler, "Fallback") or ready.get("status") == "False":
        return _words(ready)
    active = kstatus.condition(autoscaler, "ScalingActive") if autoscaler else {}
    # It is off while a queue has no worker: then KEDA alone decides.
    if active.get("status") == "False" and active.get("reason") != "ScalingDisabled":
        return _words(active)
    return None


def _words(condition: Mapping[str, Any]) -> str:
    return quote(str(condition.get("message", "")))


def _count(value: object) -> int:
    count = number_of(value)
    return min(MOST_WORKERS, max(0, count or 0))
