"""Tasks that wait for what will not come. Pure: from an answer of an Airflow."""

from dataclasses import replace

import pytest

from apps.dataplane.airflow_answers.waiting_tasks import MOST_WARNINGS, warnings_in
from apps.dataplane.spec import VariableSpec
from tests.dataplane.specs import make_spec

CELERY = make_spec()
LOCAL = make_spec(executor="local", queues=())


def told(*waiting: list[object], running: tuple[str, ...] = ()) -> dict[str, object]:
    return {"waiting": list(waiting), "tasks": [[queue, "running", 1] for queue in running]}


def test_a_queue_that_does_not_exist_is_named_at_once() -> None:
    assert warnings_in(told(["gpu", 1, 0]), spec=CELERY) == (
        "1 task waits for the queue gpu, which does not exist.",
    )
    assert warnings_in(told(["gpu", 1200, 9]), spec=CELERY) == (
        "1,200 tasks wait for the queue gpu, which does not exist.",
    )


def test_an_executor_without_queues_takes_tasks_of_any() -> None:
    assert warnings_in(told(["gpu", 1, 10]), spec=LOCAL) == ()


@pytest.mark.parametrize("spec", [CELERY, LOCAL])
def test_tasks_that_wait_long_while_none_runs_cannot_start(spec: object) -> None:
    assert warnings_in(told(["default", 3, 290]), spec=spec) == ()
    assert warnings_in(told(["default", 3, 700], running=("default",)), spec=spec) == ()
    assert warnings_in(told(["default", 3, 700], running=("other",)), spec=spec) == (
        "3 tasks have waited in the queue default for more than 10 minutes, and none of that queue "
        "runs.",
    )


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        {"waiting": 1, "tasks": []},
        {"tasks": []},
        {"waiting": [["a", "b", "c"], [], "x", ["gpu", True, 1], ["gpu", -1, 1]], "tasks": [1]},
    ],
)
def test_strange_answers_say_nothing(said: object) -> None:
    assert not warnings_in(said, spec=CELERY)


def test_names_of_queues_are_bounded_and_plain() -> None:
    rows = [[f"q\u202e\n{'x' * 500}{number}", 1, 0] for number in range(50)]

    warnings = warnings_in(told(*rows), spec=CELERY)

    assert warnings is not None
    assert len(warnings) == MOST_WARNINGS
    assert all(len(one) < 130 and one.isprintable() for one in warnings)


def test_plugins_that_cannot_be_imported_are_named_without_secrets() -> None:
    secret = VariableSpec(key="PASSWORD", value="hunter22", is_secret=True)
    spec = replace(CELERY, variables=(secret,))
    rows = [["mail.py", "No\u202e route\n for hunter22"], ["x" * 900, "y" * 900], "z", [1]]

    named, cut = warnings_in(told() | {"plugin_errors": rows}, spec=spec)

    assert named == "The plugin mail.py cannot be imported: No route  for ••••••"
    assert len(cut) < 450


@pytest.mark.parametrize("rows", [None, 3, "x", {"a": 1}])
def test_strange_answers_about_plugins_name_none(rows: object) -> None:
    assert warnings_in(told() | {"plugin_errors": rows}, spec=CELERY) == ()
