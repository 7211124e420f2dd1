"""Tokens that tasks wait with end no sooner than their wait, however long people let them wait."""

import pytest

from apps.dataplane.kubernetes.render import render
from apps.dataplane.queue_patience import tokens_that_outlast
from apps.dataplane.spec import VariableSpec
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests
from tests.dataplane.kubernetes_render.pods import find

TIMEOUT = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"
EVERY = "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL"
LEEWAY = "AIRFLOW__API_AUTH__JWT_LEEWAY"
LIFETIME = "AIRFLOW__EXECUTION_API__JWT_EXPIRATION_TIME"


def variable(key: str, value: str) -> VariableSpec:
    return VariableSpec(key=key, value=value, is_secret=False)


@pytest.mark.parametrize(
    ("theirs", "follows"),
    [
        ({}, {}),
        ({TIMEOUT: "4", EVERY: "1"}, {}),
        ({TIMEOUT: "7200"}, {LIFETIME: "7200"}),
        ({TIMEOUT: "900.5"}, {LIFETIME: "901"}),
        ({EVERY: "300"}, {LEEWAY: "340"}),
        ({EVERY: "21"}, {LEEWAY: "61"}),
        ({EVERY: "1e12"}, {LEEWAY: "86400"}),
        ({TIMEOUT: "soon", EVERY: "inf"}, {}),
        ({TIMEOUT: "nan", EVERY: "-5"}, {}),
    ],
)
def test_they_follow_from_what_people_set(theirs: dict[str, str], follows: dict[str, str]) -> None:
    variables = [variable(key, value) for key, value in theirs.items()]

    assert tokens_that_outlast(variables) == follows


def test_on_a_cluster_the_components_are_told() -> None:
    spec = make_spec(variables=(variable(TIMEOUT, "7200"), variable(EVERY, "300")))
    told = find(manifests(render(spec=spec, config=make_config())), "ConfigMap", "environment")

    assert (told["data"][LEEWAY], told["data"][LIFETIME]) == ("340", "7200")
