"""Every manifest is what Kubernetes and KEDA say their objects are, and nothing besides."""

from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from apps.dataplane.kubernetes.api.kinds import Manifest
from tests.dataplane.kubernetes_render import schemas
from tests.dataplane.kubernetes_render.matrix import (
    CASES,
    manifests_of,
)
from tests.dataplane.kubernetes_render.pods import pods_in
from tests.kubernetes import assets


@pytest.mark.parametrize("case", CASES)
def test_objects_of_kubernetes_have_only_its_fields(case: str) -> None:
    for manifest in manifests_of(case):
        if not manifest["apiVersion"].startswith("keda.sh/"):
            schemas.validate(manifest)


def test_the_pod_of_a_task_has_only_fields_of_kubernetes() -> None:
    pods = [pod for manifest in manifests_of("kubernetes") for pod in pods_in(manifest)]

    tasks = [pod for pod in pods if pod.get("kind") == "Pod"]

    assert len(tasks) == 1
    schemas.validate(tasks[0])


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    worker = next(m for m in manifests_of("celery-keda") if m["kind"] == "Deployment")
    worker["spec"]["template"]["spec"]["gracePeriod"] = 5

    with pytest.raises(jsonschema.ValidationError, match="gracePeriod"):
        schemas.validate(worker)


@pytest.mark.parametrize("case", ["celery-keda", "two-queues-variables", "longest-names"])
def test_objects_of_keda_have_only_its_fields(case: str) -> None:
    keda = _keda_schemas()
    checked = 0
    for manifest in manifests_of(case):
        if manifest["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(manifest, keda[manifest["kind"]])
            checked += 1

    assert checked >= 2


def test_a_field_that_keda_does_not_know_is_found() -> None:
    scaled = next(m for m in manifests_of("celery-keda") if m["kind"] == "ScaledObject")
    scaled["spec"]["coolDownPeriod"] = 5

    with pytest.raises(jsonschema.ValidationError, match="coolDownPeriod"):
        jsonschema.validate(scaled, _keda_schemas()["ScaledObject"])


@cache
def _keda_schemas() -> dict[str, Manifest]:
    path = assets.find(assets.CRDS)
    if path is None:
        pytest.skip("KEDA's own description of its objects is not here: run `make kubernetes`.")
    found = {}
    for definition in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
        if definition:
            served = next(v for v in definition["spec"]["versions"] if v["name"] == "v1alpha1")
            schema = served["schema"]["openAPIV3Schema"]
            found[definition["spec"]["names"]["kind"]] = _strict(schema)
    return found


def _strict(schema: Any) -> Any:
    """Refuse fields that the schema does not name, as the API server does when asked to."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(part) for key, part in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
