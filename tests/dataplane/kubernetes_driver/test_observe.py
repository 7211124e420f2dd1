from typing import Any

import orjson
import pytest

from apps.dataplane.kubernetes.api.kinds import kind_of
from apps.dataplane.kubernetes.observe.objects import inventory
from apps.dataplane.kubernetes.observe.objects.inventory import Entry, Inventory, entry_of
from apps.dataplane.kubernetes.observe.objects.snapshots import project
from apps.dataplane.kubernetes.observe.observation import observation_of
from apps.dataplane.status import Observation
from tests.dataplane.kubernetes_driver.objects import (
    NOW,
    ago,
    deployment,
    pod,
    thing,
    waiting,
)

CORE = [deployment("api-server"), deployment("scheduler"), deployment("worker-default")]


def look(objects: dict[str, list], *, kept: Inventory | None = None, **more: Any) -> Observation:
    namespace = thing("Namespace", "airflow-x", status={"phase": "Active"})
    config_map = inventory.manifest_of(
        kept or Inventory(revision=2, wanted=2), namespace="airflow-x", labels={}
    )
    everything = {"Namespace": [namespace], "ConfigMap": [config_map], **objects}
    projected = {
        kind: [project(kind_of(item), item) for item in items] for kind, items in everything.items()
    }
    return observation_of(projected, ref="x", now=NOW, airflow_url="https://a.test", **more)


def test_a_healthy_deployment() -> None:
    observation = look({"Deployment": CORE})

    assert observation.health == "healthy"
    assert observation.applied_revision == 2
    assert observation.ui_url == "https://a.test/x/"
    assert [one.name for one in observation.components] == [
        "api-server",
        "scheduler",
        "worker default",
    ]
    assert not observation.is_drifted


def test_nothing_is_there_without_a_namespace() -> None:
    observation = observation_of({"Namespace": []}, ref="x", now=NOW, airflow_url="")

    assert not observation.exists


def test_a_deployment_that_was_never_finished_is_starting_not_unhealthy() -> None:
    observation = look({"Deployment": []}, kept=Inventory(wanted=1))

    assert observation.health == "starting"


def test_a_vital_component_that_is_gone_is_named() -> None:
    observation = look({"Deployment": CORE[:1]})

    assert observation.health == "unhealthy"
    assert "scheduler is missing" in observation.message


def test_a_crashing_scheduler_is_unhealthy_with_its_reason() -> None:
    crash = waiting("CrashLoopBackOff", restartCount=7, lastState={"terminated": {"exitCode": 1}})
    crashing = pod("scheduler-1-x", owner="scheduler-1", containerStatuses=[crash])
    down = deployment("scheduler", readyReplicas=0, availableReplicas=0)

    observation = look({"Deployment": [CORE[0], down], "Pod": [crashing]})
    scheduler = observation.components[1]

    assert observation.health == "unhealthy"
    assert "exit code 1" in observation.message
    assert (scheduler.state, scheduler.restarts) == ("crashing", 7)


def test_workers_at_zero_are_stopped_and_healthy() -> None:
    observation = look({"Deployment": [*CORE[:2], deployment("worker-default", wanted=0)]})

    assert observation.health == "healthy"
    assert observation.components[-1].state == "stopped"


@pytest.mark.parametrize(
    ("scaler", "words"),
    [
        ({"status": {"conditions": [{"type": "Fallback", "status": "True"}]}}, "cannot count"),
        ({"status": {"conditions": [{"type": "Paused", "status": "True"}]}}, "paused"),
        (
            {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "dns"}]}},
            "dns",
        ),
        ({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, ""),
    ],
)
def test_what_rules_the_workers_is_said(scaler: dict, words: str) -> None:
    spec = {"scaleTargetRef": {"name": "worker-default"}}
    scaled = thing("ScaledObject", "worker-default", spec=spec, **scaler)

    (queue,) = look({"Deployment": CORE, "ScaledObject": [scaled]}).queues

    assert words in queue.note
    assert bool(words) == bool(queue.note)


def test_a_cluster_without_keda_is_said() -> None:
    (queue,) = look({"Deployment": CORE}, has_keda=False).queues

    assert queue.note == "Workers stay at 1: the cluster has no KEDA."


def with_entries(**marks: Entry) -> Inventory:
    return Inventory(revision=2, wanted=2, entries=marks)


def test_what_moved_or_went_is_drift() -> None:
    entries = {
        "apps/Deployment/scheduler": entry_of(
            deployment("scheduler", wanted=2), manifest={"spec": {"replicas": 2}}, hash=""
        ),
        "apps/Deployment/api-server": entry_of(
            CORE[0], manifest={"spec": {"replicas": 1}}, hash=""
        ),
        "apps/Deployment/triggerer": Entry(uid="uid-triggerer", mark="h"),
        "/Secret/unseen": Entry(uid="u", mark="v1"),
    }

    observation = look({"Deployment": CORE}, kept=with_entries(**entries))

    assert observation.is_drifted
    assert {one.object for one in observation.drift} == {
        "Deployment/scheduler",
        "Deployment/triggerer",
    }


def test_a_label_of_ours_that_is_gone_from_the_namespace_is_drift() -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    before = thing("Namespace", "airflow-x", metadata={"labels": labels})
    entries = {"/Namespace/airflow-x": entry_of(before, manifest={}, hash="")}

    observation = look({"Deployment": CORE}, kept=with_entries(**entries))

    assert [one.object for one in observation.drift] == ["Namespace/airflow-x"]


def test_what_deployments_share_in_another_namespace_is_not_missed() -> None:
    elsewhere = Entry(uid="u", mark="v1")
    entries = {"/Secret/x-admin@databases": elsewhere, "/Namespace/databases": elsewhere}

    assert not look({"Deployment": CORE, "Secret": []}, kept=with_entries(**entries)).is_drifted


def test_nothing_is_drift_while_a_revision_is_being_applied() -> None:
    entries = {"apps/Deployment/triggerer": Entry(uid="u", mark="g1")}
    kept = Inventory(revision=2, wanted=3, entries=entries)

    assert not look({"Deployment": CORE}, kept=kept).is_drifted


def test_a_job_that_the_cluster_tidied_away_is_no_drift() -> None:
    kept = with_entries(**{"batch/Job/migrate-1": Entry(uid="u", mark="completed")})

    assert not look({"Deployment": CORE, "Job": []}, kept=kept).is_drifted


def event(uid: str, reason: str, seconds: float, **more: Any) -> dict:
    return thing(
        "Event",
        f"{uid}-{reason}-{seconds}",
        involvedObject={"kind": "Pod", "name": "p", "uid": uid},
        reason=reason,
        message=f"since {seconds}",
        lastTimestamp=ago(seconds),
        **more,
    )


def test_warnings_of_the_last_hour_are_counted_once_each_newest_first() -> None:
    events = [
        event("a", "BackOff", 30, count=3),
        event("a", "BackOff", 10, count=2),
        event("b", "FailedMount", 5),
        event("c", "Old", 4000),
    ]

    notices = look({"Event": events}).notices

    assert notices is not None
    assert [(one.reason, one.count) for one in notices] == [("FailedMount", 1), ("BackOff", 5)]
    assert notices[1].message == "since 10"


def test_a_warning_is_over_when_its_pod_is_gone_done_or_got_ready_later() -> None:
    def ready(name: str, status: str, seconds: float, **more: Any) -> dict:
        since = {"type": "Ready", "status": status, "lastTransitionTime": ago(seconds)}
        return pod(name, conditions=[since], **more)

    pods = [
        ready("up", "True", 60),
        ready("down", "False", 60),
        ready("done", "False", 60, phase="Succeeded"),
    ]
    events = [
        event(f"{name}-{seconds}", "Unhealthy", seconds)
        | {"involvedObject": {"kind": kind, "name": name, "uid": f"{kind}-{name}-{seconds}"}}
        for kind, name, seconds in (
            ("Pod", "up", 90),
            ("Pod", "up", 30),
            ("Pod", "down", 90),
            ("Pod", "done", 20),
            ("Pod", "gone", 10),
            ("ReplicaSet", "up", 90),
        )
    ]

    notices = look({"Event": events, "Pod": pods}).notices or ()

    assert {(one.object, one.message) for one in notices if one.is_over} == {
        ("Pod/up", "since 90"),
        ("Pod/done", "since 20"),
        ("Pod/gone", "since 10"),
    }
    assert len(notices) == 6


def test_that_no_node_was_found_is_over_when_one_is() -> None:
    pods = [
        pod(name, conditions=[{"type": "PodScheduled", "status": status}])
        for name, status in (("placed", "True"), ("waiting", "False"))
    ]
    events = [
        event(f"{name}-{reason}", reason, 30)
        | {"involvedObject": {"kind": "Pod", "name": name, "uid": name}}
        for name in ("placed", "waiting")
        for reason in ("FailedScheduling", "Failed")
    ]

    notices = look({"Event": events, "Pod": pods}).notices or ()

    assert len(notices) == 4
    assert [(one.object, one.reason) for one in notices if one.is_over] == [
        ("Pod/placed", "FailedScheduling")
    ]


def test_a_look_that_did_not_ask_for_warnings_says_so() -> None:
    assert look({}).notices is None


def test_slim_objects_are_small_and_free_of_secrets() -> None:
    fat = deployment()
    fat["spec"]["template"] = {"spec": {"containers": [{"env": [{"value": "canary"}]}]}}

    projected = project(kind_of(fat), fat)

    assert b"canary" not in orjson.dumps(projected)


def taken(name: str, why: str, *, is_leaving: bool = True, **status: Any) -> dict[str, Any]:
    """Return a worker's pod that the cluster takes away."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": why}
    made = pod(name, "worker-default-5d", conditions=[condition], **status)
    if is_leaving:
        made["metadata"]["deletionTimestamp"] = ago(10)
    return made


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("DeletionByTaintManager", "its node is going away"),
        ("EvictionByEvictionAPI", "its node is being drained"),
        ("PreemptionByScheduler", "pods of a higher priority need its place"),
        ("TerminationByKubelet", "its node shuts down"),
        ("DeletionByPodGC", "its node is gone"),
    ],
)
def test_a_worker_whose_node_is_taken_away_says_why_and_that_it_finishes_its_tasks(
    reason: str, words: str
) -> None:
    observation = look({"Deployment": CORE, "Pod": [taken("w1", reason)]})

    worker = next(one for one in observation.components if one.name == "worker default")
    assert worker.state == "running"
    assert words in worker.detail
    assert "It finishes its work as long as the node lasts" in worker.detail


def test_two_workers_on_nodes_that_go_are_counted_and_others_that_finish_are_not() -> None:
    old = pod("w3", "worker-default-5c")
    old["metadata"]["deletionTimestamp"] = ago(10)
    pods = [*(taken(name, "DeletionByTaintManager") for name in ("w1", "w2")), old]

    observation = look({"Deployment": CORE, "Pod": pods})

    worker = next(one for one in observation.components if one.name == "worker default")
    assert worker.detail.startswith("2 pods have to leave: its node is going away.")


@pytest.mark.parametrize(
    ("reason", "state"),
    [("Terminated", "starting"), ("NodeShutdown", "starting"), ("Evicted", "failed")],
)
def test_a_pod_that_ended_with_its_node_is_no_failure_of_its_own(reason: str, state: str) -> None:
    short = deployment("worker-default", readyReplicas=0, availableReplicas=0)
    gone = taken("w1", "TerminationByKubelet", is_leaving=False, phase="Failed", reason=reason)

    observation = look({"Deployment": [*CORE[:2], short], "Pod": [gone]})

    worker = next(one for one in observation.components if one.name == "worker default")
    assert worker.state == state
    assert ("its node shuts down" in worker.detail) == (state == "starting")


def test_a_condition_that_is_not_true_or_of_an_unknown_reason_says_nothing() -> None:
    pods = [taken("w1", "SomethingNew"), taken("w2", "DeletionByTaintManager")]
    pods[1]["status"]["conditions"][0]["status"] = "False"

    observation = look({"Deployment": CORE, "Pod": pods})

    worker = next(one for one in observation.components if one.name == "worker default")
    assert worker.detail == "2 old ones are finishing their work."
