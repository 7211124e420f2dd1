"""What is left of a Deployment on a cluster while it hibernates."""

from dataclasses import replace

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.names import PAUSED_ANNOTATION
from apps.dataplane.kubernetes.render import render
from tests.dataplane.kubernetes_render.matrix import CASES, manifests

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
            assert manifest["spec"]["suspend"] is True
        elif kind == "StatefulSet":
            assert manifest == awake[kind, name]


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_stays_as_long_as_tasks_report_to_it(case: str) -> None:
    awake = objects(case, is_hibernating=False)
    draining = objects(case, is_hibernating=True, is_draining=True)

    key = ("Deployment", "api-server")
    assert draining[key] == awake[key]
    assert draining["Deployment", "scheduler"]["spec"]["replicas"] == 0
