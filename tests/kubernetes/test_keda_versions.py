"""Objects for KEDA on a real API server that knows KEDA's objects of other versions."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.dataplane.kubernetes.names import FIELD_MANAGER
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.components.autoscaling import scaling
from apps.dataplane.spec import WorkerQueue
from tests.dataplane.specs import make_spec
from tests.kubernetes import assets
from tests.kubernetes.conftest import config_of
from tests.kubernetes.running import RunningControlPlane, running_control_plane

Schema = dict[str, Any]
TEXT, NUMBER, SWITCH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}


def of(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def texts() -> Schema:
    return {"type": "object", "additionalProperties": TEXT}


def scaled_object(**trigger: Schema) -> Schema:
    """Return how KEDA 2.15 describes the parts that are used here, `fallback` included."""
    policies = many(of(type=TEXT, value=NUMBER, periodSeconds=NUMBER))
    rule = of(stabilizationWindowSeconds=NUMBER, selectPolicy=TEXT, policies=policies)
    return of(
        scaleTargetRef=of(apiVersion=TEXT, kind=TEXT, name=TEXT, envSourceContainerName=TEXT),
        pollingInterval=NUMBER,
        cooldownPeriod=NUMBER,
        idleReplicaCount=NUMBER,
        minReplicaCount=NUMBER,
        maxReplicaCount=NUMBER,
        fallback=of(failureThreshold=NUMBER, replicas=NUMBER),
        advanced=of(
            restoreToOriginalReplicaCount=SWITCH,
            horizontalPodAutoscalerConfig=of(name=TEXT, behavior=of(scaleUp=rule, scaleDown=rule)),
        ),
        triggers=many(
            of(
                type=TEXT,
                name=TEXT,
                metadata=texts(),
                authenticationRef=of(name=TEXT, kind=TEXT),
                **trigger,
            )
        ),
    )


SIGN_IN = of(secretTargetRef=many(of(parameter=TEXT, name=TEXT, key=TEXT)))
V2_15 = scaled_object(useCachedMetrics=SWITCH, metricType=TEXT)
V2_7 = scaled_object(metricType=TEXT)


def definition(kind: str, spec: Schema) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = of(apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec)
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.keda.sh"},
        "spec": {
            "group": "keda.sh",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningControlPlane]:
    """A cluster without KEDA. Each test begins by saying which one it wants."""
    if assets.why_left_out():
        pytest.skip(assets.why_left_out())
    folder = tmp_path_factory.mktemp("keda") / "control-plane"
    with running_control_plane(folder, is_bare=True, has_keda=False) as plane:
        yield plane


def install(plane: RunningControlPlane, definitions: list[dict[str, Any]]) -> KubernetesPlane:
    """Let the cluster describe KEDA's objects as `definitions` do."""
    listed = {"apiVersion": "v1", "kind": "List", "items": definitions}
    plane.kubectl(
        *("apply", "--server-side", "--force-conflicts", "-f", "-"), given=json.dumps(listed)
    )
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    wanted = _fields_of_triggers(_described(definitions))
    deadline = time.monotonic() + 60
    while True:
        # The API server publishes what it knows some time after it enforces it.
        found = plane.kubectl("get", "--raw", "/openapi/v3/apis/keda.sh/v1alpha1", may_fail=True)
        if found.startswith("{") and _fields_of_triggers(_published(json.loads(found))) == wanted:
            return KubernetesPlane(config_of(plane.connection))
        assert time.monotonic() < deadline, found[:300]
        time.sleep(0.2)


def older(scaled: Schema) -> list[dict[str, Any]]:
    return [definition("ScaledObject", scaled), definition("TriggerAuthentication", SIGN_IN)]


def newest() -> list[dict[str, Any]]:
    with assets.find(assets.CRDS).open() as file:
        return [one for one in yaml.safe_load_all(file) if one]


def _described(definitions: list[dict[str, Any]]) -> Schema:
    [spec] = [one["spec"] for one in definitions if one["spec"]["names"]["kind"] == "ScaledObject"]
    schema: Schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _published(document: dict[str, Any]) -> Schema:
    schemas: dict[str, Schema] = document["components"]["schemas"]
    return schemas.get("sh.keda.v1alpha1.ScaledObject", {})


def _fields_of_triggers(schema: Schema) -> set[str]:
    if not schema:
        return set()
    return set(schema["properties"]["spec"]["properties"]["triggers"]["items"]["properties"])


def applied(plane: RunningControlPlane, ref: str) -> str:
    config = config_of(plane.connection)
    stages = render(spec=make_spec(ref), config=config)
    kinds = ("ScaledObject", "TriggerAuthentication")
    objects = [m for stage in stages for m in stage.objects if m["kind"] in kinds]
    plane.kubectl("create", "namespace", f"airflow-{ref}")
    return plane.kubectl(
        *("apply", "--server-side", f"--field-manager={FIELD_MANAGER}", "--validate=strict"),
        *("-f", "-"),
        given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        may_fail=True,
    )


def finding(plane: KubernetesPlane) -> Any:
    return next(one for one in plane.check().findings if one.title == "KEDA")


@pytest.mark.slow
def test_the_newest_keda_takes_every_object(bare: RunningControlPlane) -> None:
    plane = install(bare, newest())

    assert applied(bare, "newest").count("serverside-applied") == 2
    assert finding(plane).is_ok
    assert plane.check().has_keda


@pytest.mark.slow
def test_keda_before_2_17_takes_every_object(bare: RunningControlPlane) -> None:
    plane = install(bare, older(V2_15))

    said = applied(bare, "older")

    assert said.count("serverside-applied") == 2, said
    assert finding(plane).is_ok
    assert plane.check().has_keda


@pytest.mark.slow
def test_the_api_server_takes_the_autoscaler_that_keda_makes_for_the_longest_wait(
    bare: RunningControlPlane,
) -> None:
    """KEDA hands on what it does not judge itself, and nothing scales where that is refused."""
    queue = WorkerQueue(name="default", concurrency=1, min_workers=1, max_workers=2)
    rule = scaling(queue, workload="worker-default", scale_down_seconds=86_400)
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-worker-default"},
        "spec": {
            "scaleTargetRef": rule["scaleTargetRef"],
            "minReplicas": rule["minReplicaCount"],
            "maxReplicas": rule["maxReplicaCount"],
            **rule["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }

    said = bare.kubectl(
        *("create", "--dry-run=server", "-f", "-"), given=json.dumps(autoscaler), may_fail=True
    )

    assert "created" in said


@pytest.mark.slow
def test_a_keda_that_lacks_a_field_is_named_and_workers_stay_as_many_as_they_are(
    bare: RunningControlPlane,
) -> None:
    plane = install(bare, older(V2_7))

    check = plane.check()

    assert check.has_keda is False
    assert not finding(plane).is_ok
    assert "ScaledObject spec.triggers.useCachedMetrics" in finding(plane).detail
    assert "serverside-applied" not in applied(bare, "oldest").splitlines()[-1]


@pytest.mark.slow
def test_a_cluster_without_keda_is_told_so(tmp_path: Path) -> None:
    if assets.why_left_out():
        pytest.skip(assets.why_left_out())
    with running_control_plane(tmp_path / "plane", is_bare=True, has_keda=False) as bare:
        plane = KubernetesPlane(config_of(bare.connection))

        assert "Not installed" in finding(plane).detail
        assert plane.check().has_keda is False
