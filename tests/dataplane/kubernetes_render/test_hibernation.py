"""What is left of a Deployment on a cluster while it hibernates."""

import json
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.hibernation.plans import HibernationPlan, Schedule, is_cron
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import PAUSED_ANNOTATION
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import DeploymentSpec
from tests.dataplane.kubernetes_render.matrix import CASES, manifests

NIGHT = Schedule(hibernate_at="0 19 * * *", wake_at="0 7 * * *")
Found = dict[tuple[str, str], Manifest]


def objects(case: str, *, is_hibernating: bool, is_draining: bool = False) -> Found:
    spec, config = CASES[case]
    spec = replace(spec, is_hibernating=is_hibernating)
    stages = render(spec=spec, config=config, is_draining=is_draining)
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(stages)}


@pytest.mark.parametrize("case", CASES)
def test_no_component_of_airflow_has_a_pod_and_all_data_stays(case: str) -> None:
    awake = objects(case, is_hibernating=False)
    asleep = objects(case, is_hibernating=True)

    gone = {kind for kind, _ in awake.keys() - asleep.keys()}
    assert gone <= {"PodDisruptionBudget"}
    for (kind, name), manifest in asleep.items():
        scaler = asleep.get(("ScaledObject", name), {}).get("metadata", {})
        if kind == "Deployment":
            paused = scaler.get("annotations", {}).get(PAUSED_ANNOTATION)
            assert manifest["spec"].get("replicas", paused) in (0, "0"), name
        elif kind == "CronJob":
            # What keeps time wakes the others.
            keeps_time = name.startswith(("hibernate-", "wake-", "override-end"))
            assert manifest["spec"].get("suspend", False) is not keeps_time
        elif kind == "StatefulSet":
            assert manifest == awake[kind, name]


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_stays_as_long_as_tasks_report_to_it(case: str) -> None:
    awake = objects(case, is_hibernating=False)
    draining = objects(case, is_hibernating=True, is_draining=True)

    key = ("Deployment", "api-server")
    assert draining[key] == awake[key]
    assert draining["Deployment", "scheduler"]["spec"]["replicas"] == 0


@pytest.mark.parametrize("case", CASES)
def test_what_keeps_time_knows_all_that_it_scales_and_how_many_pods_it_had(case: str) -> None:
    spec, config = CASES[case]
    found = of_plan(spec, replace(config, may_scale=True))
    told = json.loads(found["ConfigMap", "hibernation"]["data"]["plan.json"])

    scaled = {name for kind, name in found if kind == "ScaledObject"}
    fixed = {
        name: one["spec"]["replicas"]
        for (kind, name), one in found.items()
        if kind == "Deployment" and name not in scaled
    }
    assert {**told["first"], **told["last"]} == fixed
    assert set(told["scalers"]) == scaled
    rules = found["Role", "hibernation"]["rules"]
    named = {rule["resources"][0]: set(rule.get("resourceNames", [])) for rule in rules}
    assert named["deployments/scale"] == set(fixed)
    assert named.get("scaledobjects", set()) == scaled


def of_plan(spec: DeploymentSpec, config: ClusterConfig, **changes: Any) -> Found:
    plan = HibernationPlan(schedules=(replace(NIGHT, **changes),))
    stages = render(spec=replace(spec, hibernation=plan), config=config)
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(stages)}


def test_where_the_portal_may_not_let_others_scale_nothing_keeps_time() -> None:
    spec, config = CASES["celery-keda"]

    found = of_plan(spec, config)

    assert ("CronJob", "wake-1") not in found
    assert ("ServiceAccount", "hibernation") not in found


def test_a_schedule_that_is_off_keeps_no_time() -> None:
    spec, config = CASES["celery-keda"]

    found = of_plan(spec, replace(config, may_scale=True), is_enabled=False)

    assert ("CronJob", "wake-1") not in found


@pytest.mark.parametrize(
    ("cron", "zone", "expected"),
    [
        ("0 19 * * MON-FRI", "Europe/Oslo", "0 19 * * 1,2,3,4,5"),
        # Kubernetes knows no 7, and no L, LW, # or step of its own kind.
        ("*/30 19 * * 7", "UTC", "0,30 19 * * 0"),
        ("0 19 L * *", "UTC", "0 19 * * *"),
        ("0 19 LW 6 *", "UTC", "0 19 * 6 *"),
        ("0 19 * * MON#1", "UTC", "0 19 * * *"),
        ("0 19 * * FRIL", "UTC", None),
        ("0 19 * * 5L", "UTC", "0 19 * * *"),
        ("0 19 L * MON", "UTC", "0 19 * * *"),
        ("0 19 1,15 * MON", "UTC", "0 19 1,15 * 1"),
        # The hour after one that a clock may leave out.
        ("30 2 * * *", "Europe/Oslo", "30 2,3 * * *"),
        ("30 2 * * *", "Etc/UTC", "30 2 * * *"),
        ("0 0 * * *", "Africa/Cairo", "0 0,1 * * *"),
    ],
)
def test_a_time_is_written_as_kubernetes_reads_it(
    cron: str, zone: str, expected: str | None
) -> None:
    spec, config = CASES["celery-keda"]
    if expected is None:
        assert not is_cron(cron)
        return

    found = of_plan(spec, replace(config, may_scale=True), hibernate_at=cron, time_zone=zone)

    cron_job = found["CronJob", "hibernate-1"]["spec"]
    assert (cron_job["schedule"], cron_job["timeZone"]) == (expected, zone)
