"""Whatever people type ends as data: in a value, never in the shape of an object or a command."""

import json
import random
import string
from dataclasses import replace

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render import render
from apps.dataplane.kubernetes.render.components.autoscaling import workers_needed
from apps.dataplane.spec import VariableSpec, WorkerQueue
from tests.dataplane.kubernetes_render import schemas, test_lint
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import containers_of, find, pods_in
from tests.dataplane.specs import DEFAULT_QUEUE

HOSTILE = (
    "$(PATH)",
    "$$(PATH) ${PATH} `id` $(id)",
    "a: b\n---\nkind: Pod",
    "{{ .Values }} {% raw %}",
    "'; DROP TABLE task_instance; --",
    '"}],"privileged":true,"x":[{"',
    "\x01\x7f\u2028\u202e\ufeff",
    "🐙" * 400,
    "y" * 32_768,
    "",
    "null",
    "0x1F",
    "yes",
)
ALPHABET = string.printable + "äß€🐙\u202e\u2028"
SEEDS = range(12)


def _any_text(chance: random.Random) -> str:
    return "".join(chance.choices(ALPHABET, k=chance.randrange(60)))


def _any_name(chance: random.Random, longest: int) -> str:
    letters = string.ascii_lowercase
    middle = "".join(chance.choices(letters + string.digits + "-", k=chance.randrange(longest - 1)))
    return chance.choice(letters) + middle + chance.choice(letters)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_arrives_as_it_is_and_nowhere_else(value: str) -> None:
    variables = (
        VariableSpec(key="PLAIN", value=value, is_secret=False),
        VariableSpec(key="SECRET", value=value, is_secret=True),
    )
    spec = make_spec(variables=variables, name=value)
    plain = manifests(render(spec=make_spec(), config=make_config()))

    objects = manifests(render(spec=spec, config=make_config()))

    assert find(objects, "ConfigMap", "environment")["data"]["PLAIN"] == value
    assert _without_data(objects) == _without_data(plain)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_names_and_values_give_objects_that_pass_every_rule(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randrange(1, 4)
    queues = {_any_name(chance, 63): None for _ in range(count)}
    spec = make_spec(
        ref=_any_name(chance, 40),
        name=_any_text(chance),
        queues=(
            DEFAULT_QUEUE,
            *(
                WorkerQueue(
                    name=name, concurrency=chance.randrange(1, 16), min_workers=0, max_workers=3
                )
                for name in queues
            ),
        ),
        variables=tuple(
            VariableSpec(
                key=f"V{number}_{_any_name(chance, 30).replace('-', '_')}",
                value=_any_text(chance),
                is_secret=chance.random() < 0.5,
            )
            for number in range(5)
        ),
    )

    objects = manifests(render(spec=spec, config=make_config()))

    for rule in test_lint.DAMAGES:
        assert list(rule(objects)) == []
    for manifest in objects:
        if not manifest["apiVersion"].startswith("keda.sh/"):
            schemas.validate(manifest)


def test_queues_with_one_beginning_have_workloads_of_their_own() -> None:
    queues = tuple(
        WorkerQueue(name="q" * 60 + end, concurrency=1, min_workers=0, max_workers=1)
        for end in ("a", "b", "c")
    )

    objects = manifests(render(spec=make_spec(queues=queues), config=make_config()))

    workers = [m for m in objects if m["kind"] == "Deployment" and "worker" in str(m["metadata"])]
    assert len({m["metadata"]["name"] for m in workers}) == 3
    assert len({json.dumps(m["spec"]["selector"]) for m in workers}) == 3


def test_a_queue_s_name_cannot_leave_its_place_in_the_query() -> None:
    queue = WorkerQueue(name="x' OR 'a'='a", concurrency=3, min_workers=0, max_workers=1)

    query = workers_needed(queue)

    assert "queue = 'x'' OR ''a''=''a'" in query
    assert "/ 3)" in query


def test_too_much_text_in_variables_is_refused_with_a_sentence() -> None:
    variables = tuple(
        VariableSpec(key=f"V{number}", value="y" * 32_000, is_secret=False) for number in range(29)
    )

    with pytest.raises(Permanent, match=r"variables have [\d,]+ bytes together"):
        render(spec=make_spec(variables=variables), config=make_config())


def test_an_unknown_worker_size_is_refused_with_a_sentence() -> None:
    queues = (replace(DEFAULT_QUEUE, size="A7"),)

    with pytest.raises(Permanent, match="no worker size A7"):
        render(spec=make_spec(queues=queues), config=make_config())


def test_no_argument_of_a_container_is_replaced_by_kubernetes() -> None:
    for manifest in manifests(render(spec=make_spec(), config=make_config())):
        for pod in pods_in(manifest):
            for container in containers_of(pod):
                # A shell's own $(…) is no name of a variable, so Kubernetes leaves it.
                for argument in container.get("args", []):
                    assert not [name for name in _variables(container) if f"$({name})" in argument]


def _variables(container: Manifest) -> list[str]:
    return [entry["name"] for entry in container.get("env", [])] + ["PATH", "HOSTNAME"]


def _without_data(objects: list[Manifest]) -> list[str]:
    """Return all but values: what an object is, and which keys it has."""
    shapes = []
    for manifest in objects:
        shape = json.loads(json.dumps(manifest))
        shape["metadata"].pop("annotations", None)
        if manifest["kind"] in ("ConfigMap", "Secret"):
            shape.pop("data", None)
        for pod in pods_in(shape):
            pod["metadata"].pop("annotations", None)
        shapes.append(json.dumps(shape))
    return shapes
