"""What is read of KEDA's and the autoscaler's words about workers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.observe.scaling import decision_of, read_scaling_decisions
from tests.dataplane.specs import DEFAULT_QUEUE, make_spec

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def said(kind: str, status: str = "True", reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def scaler(*conditions: dict[str, str], **annotations: str) -> dict[str, Any]:
    metadata = {"name": "worker-default", "annotations": annotations}
    return {"metadata": metadata, "status": {"conditions": [*conditions]}}


def autoscaler(*conditions: dict[str, str], current: Any = 1, desired: Any = 1) -> dict[str, Any]:
    status = {"currentReplicas": current, "desiredReplicas": desired}
    return {
        "metadata": {"name": "keda-hpa-worker-default"},
        "status": {**status, "conditions": [*conditions]},
    }


READY = scaler(said("Ready"))
LIMITED = said("ScalingLimited", reason="TooManyReplicas", message="more than the maximum")
STABILIZED = said("AbleToScale", reason="ScaleDownStabilized", message="recent recommendations")
NO_METRIC = said("ScalingActive", "False", "FailedGetExternalMetric", "unable to get s0")
OFF = said("ScalingActive", "False", "ScalingDisabled", "replica count is zero")


@pytest.mark.parametrize(
    ("of_keda", "of_autoscaler", "reason", "numbers"),
    [
        (READY, None, "steady", (1, 0)),
        (READY, autoscaler(), "steady", (1, 1)),
        (READY, autoscaler(desired=3), "up", (3, 1)),
        (READY, autoscaler(current=3), "down", (1, 3)),
        (READY, autoscaler(LIMITED, current=3, desired=3), "maximum", (3, 3)),
        (READY, autoscaler(STABILIZED, current=3, desired=3), "cooldown", (3, 3)),
        (READY, autoscaler(NO_METRIC), "not-counted", (1, 1)),
        (READY, autoscaler(OFF, current=0, desired=0), "steady", (0, 0)),
        (scaler(said("Ready", "False", message="no such host")), None, "not-counted", (1, 0)),
        (scaler(said("Ready"), said("Fallback")), autoscaler(), "not-counted", (1, 1)),
        (scaler(said("Paused")), autoscaler(current=2, desired=2), "paused", (2, 2)),
        (scaler(**{"autoscaling.keda.sh/paused": "true"}), autoscaler(), "paused", (1, 1)),
        (READY, autoscaler(current="7", desired=-4), "steady", (0, 0)),
        (READY, autoscaler(current=10**12, desired=None), "steady", (0, 0)),
    ],
)
def test_each_state_has_its_reason(
    of_keda: Any, of_autoscaler: Any, reason: str, numbers: tuple[int, int]
):
    decision = decision_of(
        DEFAULT_QUEUE, scaler=of_keda, autoscaler=of_autoscaler, cooldown_seconds=300, now=NOW
    )

    assert (decision.reason, (decision.wanted, decision.workers)) == (reason, numbers)
    assert (decision.min_workers, decision.max_workers, decision.concurrency) == (1, 3, 2)


def test_words_of_a_cluster_are_bounded_and_plain():
    loud = said("Ready", "False", message="\x1b[31m\u202e" + "x" * 5000)

    decision = decision_of(
        DEFAULT_QUEUE, scaler=scaler(loud), autoscaler=None, cooldown_seconds=300, now=NOW
    )

    assert 0 < len(decision.message) <= 300
    assert "\x1b" not in decision.message
    assert "\u202e" not in decision.message


def test_a_cluster_that_does_not_answer_or_has_no_keda_decides_nothing():
    class Homed:
        def home(self, ref: str) -> str:
            return ref

    class Silent(Homed):
        def list(self, *_: object, **__: object) -> list[object]:
            raise Unreachable("It does not answer.")

    class Empty(Homed):
        def list(self, *_: object, **__: object) -> list[object]:
            return []

    for api in (Silent(), Empty()):
        told = read_scaling_decisions(
            api,  # type: ignore[arg-type]
            spec=make_spec(),
            portal_id="p",
            cooldown_seconds=300,
        )
        assert told == ()
