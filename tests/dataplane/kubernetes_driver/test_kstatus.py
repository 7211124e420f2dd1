import pytest

from apps.dataplane.kubernetes.observe.objects import kstatus
from tests.dataplane.kubernetes_driver.objects import NOW, ago, deployment, pod, thing

CONDITION_JOB_FAILED = [{"type": "Failed", "status": "True", "message": "Too many tries"}]
CASES = [
    (deployment(), "current"),
    (deployment(wanted=0), "current"),
    (deployment(observedGeneration=0), "in_progress"),
    (deployment(observedGeneration=None), "in_progress"),
    (deployment(wanted=2, updatedReplicas=1), "in_progress"),
    (deployment(replicas=2), "in_progress"),
    (deployment(readyReplicas=0), "in_progress"),
    (deployment(availableReplicas=0), "in_progress"),
    (
        deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]),
        "failed",
    ),
    (
        deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": "quota"}]),
        "failed",
    ),
    (thing("StatefulSet", spec={"replicas": 1}, status={}), "in_progress"),
    (
        thing(
            "StatefulSet",
            spec={"replicas": 1},
            status={"observedGeneration": 1, "replicas": 1, "readyReplicas": 1},
        ),
        "current",
    ),
    (
        thing(
            "StatefulSet",
            spec={"replicas": 1},
            status={
                "observedGeneration": 1,
                "replicas": 1,
                "readyReplicas": 1,
                "currentRevision": "a",
                "updateRevision": "b",
            },
        ),
        "in_progress",
    ),
    (thing("Job", status={"active": 1}), "in_progress"),
    (thing("Job", status={"failed": 1}), "in_progress"),
    (thing("Job", status={}), "in_progress"),
    (thing("Job", spec={"suspend": True}, status={}), "current"),
    (thing("Job", status={"conditions": [{"type": "Complete", "status": "True"}]}), "current"),
    (thing("Job", status={"conditions": CONDITION_JOB_FAILED}), "failed"),
    (thing("PersistentVolumeClaim", status={"phase": "Bound"}), "current"),
    (thing("PersistentVolumeClaim", status={"phase": "Pending"}), "in_progress"),
    (thing("PersistentVolumeClaim", status={"phase": "Lost"}), "failed"),
    (thing("Namespace", status={"phase": "Active"}), "current"),
    (thing("Namespace", status={"phase": "Terminating"}), "terminating"),
    (thing("ConfigMap"), "current"),
    (thing("ConfigMap", metadata={"deletionTimestamp": ago(1)}), "terminating"),
    (thing("ScaledObject"), "in_progress"),
    (
        thing("ScaledObject", status={"conditions": [{"type": "Ready", "status": "True"}]}),
        "current",
    ),
    (pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}]), "current"),
    (pod(phase="Running"), "in_progress"),
    (pod(phase="Succeeded"), "current"),
    (pod(phase="Failed"), "failed"),
]


@pytest.mark.parametrize(
    ("item", "state"), CASES, ids=lambda v: v["kind"] if isinstance(v, dict) else v
)
def test_each_kind_is_judged_by_its_own_rule(item: dict, state: str) -> None:
    status = kstatus.status_of(item, now=NOW)

    assert status.state == state
    assert (status.message == "") == (state == "current")


@pytest.mark.parametrize(("seconds", "state"), [(5, "in_progress"), (20, "failed")])
def test_a_pod_has_time_to_find_its_node(seconds: int, state: str) -> None:
    conditions = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes",
            "lastTransitionTime": ago(seconds),
        }
    ]

    assert kstatus.status_of(pod(conditions=conditions), now=NOW).state == state


def test_what_is_no_time_is_none() -> None:
    assert kstatus.parse_time("yesterday") is None
    assert kstatus.parse_time(None) is None
    assert kstatus.parse_time("2026-11-22T12:00:00Z") == NOW
