"""An edit replaces the pods that it concerns, no others; the same spec gives the same objects."""

import json
from dataclasses import replace
from typing import Any

import pytest

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import DeploymentSpec, VariableSpec
from tests.dataplane.kubernetes_render.matrix import (
    CASES,
    HEAVY,
    SERVER,
    STORE,
    make_config,
    make_spec,
    manifests,
)
from tests.dataplane.specs import DEFAULT_QUEUE, make_code, make_runtime

CORE = {"api-server", "scheduler", "dag-processor", "triggerer"}
DATA = {"postgres", "redis"}
WORKER = {"worker-default"}
PLAIN = VariableSpec(key="A", value="1", is_secret=False)
SECRET = VariableSpec(key="B", value="1", is_secret=True)
BEFORE = make_spec(variables=(PLAIN, SECRET))


def _objects(spec: DeploymentSpec, config: ClusterConfig) -> dict[tuple[str, str], Manifest]:
    found = manifests(render(spec=spec, config=config))
    return {(m["kind"], m["metadata"]["name"]): m for m in found}


def _replaced(**changes: Any) -> set[str]:
    """Return the workloads whose pods an edit replaces."""
    before, after = (
        _objects(BEFORE, make_config()),
        _objects(replace(BEFORE, **changes), make_config()),
    )
    return {
        name
        for (kind, name), manifest in after.items()
        if kind in ("Deployment", "StatefulSet")
        and manifest["spec"]["template"] != before.get((kind, name), manifest)["spec"]["template"]
    }


@pytest.mark.parametrize("case", CASES)
def test_the_same_spec_gives_the_same_objects(case: str) -> None:
    spec, config = CASES[case]

    first, second = (json.dumps(manifests(render(spec=spec, config=config))) for _ in range(2))

    assert first == second


def test_a_queue_that_changes_replaces_its_workers_alone() -> None:
    assert _replaced(queues=(replace(DEFAULT_QUEUE, concurrency=9),)) == WORKER
    assert _replaced(queues=(replace(DEFAULT_QUEUE, size="A10"),)) == WORKER


def test_more_workers_or_another_queue_replace_nothing() -> None:
    assert _replaced(queues=(replace(DEFAULT_QUEUE, max_workers=9), HEAVY)) == set()


@pytest.mark.parametrize(
    "variables",
    [
        (replace(PLAIN, value="2"), SECRET),
        (PLAIN, replace(SECRET, value="2")),
        (PLAIN,),
        (PLAIN, replace(SECRET, is_secret=False)),
    ],
)
def test_a_variable_replaces_all_of_airflow_and_no_data(
    variables: tuple[VariableSpec, ...],
) -> None:
    assert _replaced(variables=variables) == CORE | WORKER


def test_another_airflow_replaces_all_of_airflow_and_migrates() -> None:
    after = replace(BEFORE, runtime=make_runtime("3.4.0"))

    assert _replaced(runtime=after.runtime) == CORE | WORKER
    jobs = [
        {name for kind, name in _objects(spec, make_config()) if kind == "Job"}
        for spec in (BEFORE, after)
    ]
    assert len(jobs[0] | jobs[1]) == 2


def test_a_name_or_a_revision_changes_the_namespace_alone() -> None:
    after = _objects(replace(BEFORE, name="Other", revision=2), make_config())

    changed = [key for key, m in _objects(BEFORE, make_config()).items() if after[key] != m]

    assert changed == [("Namespace", "airflow-tidy-comet")]


def test_code_replaces_no_pod(tmp_path: Any) -> None:
    assert _replaced(code=make_code(tmp_path, {"a.py": "x = 1"})) == set()


def test_a_variable_does_not_migrate_again() -> None:
    objects = [_objects(spec, make_config()) for spec in (BEFORE, replace(BEFORE, variables=()))]

    assert objects[0].keys() == objects[1].keys()


def test_another_database_server_makes_and_migrates_the_database_there() -> None:
    configs = (
        make_config(),
        make_config(database=SERVER),
        make_config(database=replace(SERVER, host="other.example.test")),
    )

    jobs = [{name for kind, name in _objects(BEFORE, c) if kind == "Job"} for c in configs]

    assert len(set.union(*jobs)) == sum(len(names) for names in jobs) == 7


def test_a_rotated_server_password_replaces_no_pod_of_airflow() -> None:
    rotated = replace(SERVER, password="other")  # noqa: S106 - of a test

    before = _objects(BEFORE, make_config(database=SERVER))
    after = _objects(BEFORE, make_config(database=rotated))

    kinds = {kind for kind, name in after if after[kind, name] != before.get((kind, name))}
    assert kinds == {"Secret", "Job"}


def test_without_keda_the_number_of_workers_is_fixed() -> None:
    for minimum, expected in ((0, 1), (1, 1), (3, 3)):
        queues = (replace(DEFAULT_QUEUE, min_workers=minimum),)
        objects = _objects(replace(BEFORE, queues=queues), make_config(has_keda=False))

        assert objects["Deployment", "worker-default"]["spec"]["replicas"] == expected
        assert not [kind for kind, _ in objects if kind == "ScaledObject"]


def test_a_checksum_tells_nothing_about_a_short_secret() -> None:
    specs = [
        replace(BEFORE, secrets=replace(BEFORE.secrets, api_secret_key=key)) for key in ("a", "b")
    ]

    checksums = {
        _objects(spec, make_config(object_store=STORE))["Deployment", "worker-default"]["spec"][
            "template"
        ]["metadata"]["annotations"]["astro-portal.dev/checksum"]
        for spec in specs
    }

    assert len(checksums) == 2
