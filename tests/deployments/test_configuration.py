"""The rules, the differences and the options of a configuration. No database."""

import json
from dataclasses import replace
from datetime import date

import pytest

from apps.clusters.models import Cluster
from apps.dataplane.spec import WorkerQueue
from apps.deployments.configuration.changes import (
    DATABASE_MIGRATES,
    EVERYTHING_RESTARTS,
    NOTHING_RESTARTS,
    SUMMARY_LENGTH,
    Change,
    changes,
    effects_of,
    summary_of,
)
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.configuration.validation import Present, validate

TODAY = date(2026, 11, 22)
OPTIONS = deployment_options(cluster=Cluster(kind=Cluster.Kind.LOCAL), today=TODAY)
GOOD = OPTIONS.new_configuration()
HEAVY = OPTIONS.new_queue("heavy")
SECRET_ID = "0d7d3d0a-5b5f-4a5e-9d0b-6c1f8f1c1f11"


def problems_of(configuration: Configuration, present: Present | None = None) -> dict[str, str]:
    found = validate(configuration=configuration, options=OPTIONS, present=present)
    return {problem.field: problem.message for problem in found}


def with_queue(**fields: object) -> Configuration:
    queue = replace(OPTIONS.new_queue("heavy"), **fields)  # type: ignore[arg-type]
    return replace(GOOD, queues=(*GOOD.queues, queue))


def with_variable(key: str, value: str = "x", secret_id: str = "") -> Configuration:
    return replace(GOOD, variables=(Variable(key=key, value=value, secret_id=secret_id),))


def test_what_a_form_starts_with_is_valid() -> None:
    assert problems_of(GOOD) == {}
    assert GOOD.runtime == "3.3.2-1"
    assert [queue.name for queue in GOOD.queues] == ["default"]


def test_it_survives_being_stored() -> None:
    full = replace(
        with_queue(min_workers=1),
        description="Ærø ✓",
        variables=(Variable(key="A", value="b"), Variable(key="S", secret_id=SECRET_ID)),
    )

    assert Configuration.from_json(json.loads(json.dumps(full.to_json()))) == full


def test_what_a_newer_portal_stored_is_read_as_far_as_it_is_understood() -> None:
    data = GOOD.to_json()
    data["invented_later"] = 1
    data["queues"][0]["invented_later"] = 1

    assert Configuration.from_json(data) == GOOD


@pytest.mark.parametrize(
    "name", ["Heavy", "1st", "-x", "x-", "a b", "ünï", "", "x" * 64, "a_b", "default"]
)
def test_a_wrong_queue_name_is_refused_at_its_field(name: str) -> None:
    assert "queues.1.name" in problems_of(with_queue(name=name))


@pytest.mark.parametrize("name", ["a", "heavy", "a1", "a-b", "x" * 63])
def test_a_right_queue_name_is_taken(name: str) -> None:
    assert problems_of(with_queue(name=name)) == {}


def test_a_wrong_queue_name_comes_with_a_right_one() -> None:
    assert problems_of(with_queue(name="My Queue_2"))["queues.1.name"].endswith(": my-queue-2.")


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"concurrency": 0}, "concurrency", "Tasks per worker must be between 1 and 64, not 0."),
        ({"concurrency": 65}, "concurrency", "Tasks per worker must be between 1 and 64, not 65."),
        ({"min_workers": -1}, "min_workers", "Min workers must be between 0 and 10, not -1."),
        ({"max_workers": 0}, "max_workers", "Max workers must be between 1 and 10, not 0."),
        ({"max_workers": 11}, "max_workers", "Max workers must be between 1 and 10, not 11."),
        (
            {"min_workers": 3, "max_workers": 2},
            "max_workers",
            "Max workers (2) is less than min workers (3).",
        ),
        ({"size": "A160"}, "size", "There is no worker size A160."),
    ],
)
def test_a_number_out_of_range_is_refused_at_its_field(
    fields: dict[str, object], field: str, message: str
) -> None:
    assert problems_of(with_queue(**fields)) == {f"queues.1.{field}": message}


def test_the_default_queue_stays() -> None:
    renamed = replace(GOOD, queues=(OPTIONS.new_queue("other"),))

    assert "“default” is required" in problems_of(renamed)["queues"]


def test_the_local_executor_has_no_queues() -> None:
    assert problems_of(replace(GOOD, executor="local", queues=())) == {}
    assert "queues" in problems_of(replace(GOOD, executor="local"))


@pytest.mark.parametrize("key", ["A", "a_", "a1", "AIRFLOW__CORE__LOAD_EXAMPLES", "x" * 255])
def test_a_right_variable_name_is_taken(key: str) -> None:
    assert problems_of(with_variable(key)) == {}


@pytest.mark.parametrize("key", ["", "1A", "A B", "Æ", "A=B", "A\n", "x" * 256, "A.B"])
def test_a_wrong_variable_name_is_refused_at_its_field(key: str) -> None:
    assert "variables.0.key" in problems_of(with_variable(key))


def test_a_wrong_variable_name_comes_with_a_right_one() -> None:
    message = problems_of(with_variable("SNOWFLAKE-ACCOUNT"))["variables.0.key"]

    assert message == "Use an underscore: SNOWFLAKE_ACCOUNT."


def test_a_variable_is_named_once() -> None:
    twice = replace(GOOD, variables=(Variable(key="A", value="1"), Variable(key="A", value="2")))

    assert problems_of(twice) == {"variables.1.key": "A is already in the list."}


@pytest.mark.parametrize(
    "key",
    [
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
        "airflow__database__sql_alchemy_conn",
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__CORE__FERNET_KEY_CMD",
        "AIRFLOW__CORE__FERNET_KEY_SECRET",
        "AIRFLOW__CORE__AUTH_MANAGER",
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API__BASE_URL",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__CELERY__BROKER_URL_CMD",
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "AIRFLOW_HOME",
        "PORTAL_ANYTHING",
        "PATH",
        "PYTHONPATH",
        "LD_PRELOAD",
        "HOME",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
        "AIRFLOW__SECRETS__BACKEND",
        "AIRFLOW__SECRETS__BACKEND_KWARGS_CMD",
        "KUBERNETES_SERVICE_HOST",
    ],
)
def test_what_the_portal_sets_is_protected(key: str) -> None:
    message = problems_of(with_variable(key))["variables.0.key"]
    assert message.startswith(f"{key} is reserved for the portal. ")


@pytest.mark.parametrize("key", ["AIRFLOW__CORE__PARALLELISM", "PATHS", "MY_HOME", "EXECUTOR"])
def test_harmless_options_of_airflow_and_other_names_are_free(key: str) -> None:
    assert problems_of(with_variable(key)) == {}


def test_a_value_that_no_environment_can_hold_is_refused() -> None:
    assert "NUL" in problems_of(with_variable("A", "a\x00b"))["variables.0.value"]
    assert "32 KiB" in problems_of(with_variable("A", "x" * 32_769))["variables.0.value"]
    assert problems_of(with_variable("A", "x" * 32_768)) == {}


def test_an_unknown_runtime_or_executor_is_refused() -> None:
    assert problems_of(replace(GOOD, runtime="9.9"))["runtime"] == "There is no runtime 9.9."
    assert "executor" in problems_of(replace(GOOD, executor="kubernetes"))  # type: ignore[arg-type]


def test_a_runtime_without_support_stays_where_it_is_in_use() -> None:
    later = deployment_options(cluster=Cluster(kind="local"), today=date(2027, 12, 31))
    old = replace(GOOD, runtime="3.2.2-1")

    fresh = validate(configuration=old, options=later)
    present = Present(runtimes=frozenset({"3.2.2-1"}), database_airflow="3.2.2")
    kept = validate(configuration=replace(old, description="x"), options=later, present=present)

    assert fresh[0].message == ("Runtime 3.2.2-1 is not available. Support ended on 29 Nov 2027.")
    assert kept == []


def test_airflow_never_goes_back() -> None:
    present = Present(runtimes=frozenset({"3.2.2-1", "3.3.2-1"}), database_airflow="3.3.2")
    found = problems_of(replace(GOOD, runtime="3.2.2-1"), present)

    assert "cannot be downgraded from 3.3.2 to 3.2.2" in found["runtime"]


def labels(found: tuple[Change, ...]) -> list[tuple[str, str, str]]:
    return [(change.label, change.before, change.after) for change in found]


def test_equal_configurations_do_not_differ() -> None:
    assert changes(GOOD, GOOD) == ()


def test_a_wider_queue_restarts_nothing() -> None:
    old = with_queue()

    found = changes(old, with_queue(max_workers=6))

    assert labels(found) == [("heavy, max workers", "2", "6")]
    assert found[0].effect == "Nothing restarts"


def test_another_concurrency_restarts_the_workers_of_its_queue() -> None:
    found = changes(with_queue(), with_queue(concurrency=8))

    assert found[0].effect == "Restarts the workers of heavy after their tasks"


def test_a_removed_queue_is_said_in_red() -> None:
    found = changes(with_queue(), GOOD)

    assert labels(found) == [("heavy", "4 tasks per worker, 0 to 2 workers", "removed")]
    assert (found[0].tone, "stay queued" in found[0].effect) == ("bad", True)


def test_leaving_celery_removes_all_queues() -> None:
    found = changes(with_queue(), replace(GOOD, executor="local", queues=()))

    assert [change.label for change in found] == ["Executor", "All queues"]
    assert found[1].effect.startswith("Removes the queues default, heavy")


def test_a_secret_is_never_shown() -> None:
    plain = with_variable("TOKEN", "hunter2")
    hidden = with_variable("TOKEN", "", SECRET_ID)
    other = with_variable("TOKEN", "", SECRET_ID.replace("0", "1"))

    assert labels(changes(plain, hidden)) == [("TOKEN", "hunter2", "new secret")]
    assert labels(changes(hidden, other)) == [("TOKEN", "secret", "new secret")]
    assert labels(changes(hidden, GOOD)) == [("TOKEN", "secret", "removed")]
    assert SECRET_ID not in repr(changes(hidden, other))


def test_a_new_deployment_lists_all_that_will_be_there() -> None:
    found = changes(None, with_variable("A", "b"))

    assert [change.label for change in found] == ["Runtime", "Executor", "default", "A"]


def test_a_summary_names_each_thing_once() -> None:
    heavy = replace(HEAVY, max_workers=6, concurrency=5)
    variables = tuple(Variable(key=f"V{n}", value="hunter2") for n in range(2))
    new = replace(with_queue(), queues=(*GOOD.queues, heavy), variables=variables)

    assert summary_of(changes(with_queue(), new)) == (
        f"heavy: tasks per worker {HEAVY.concurrency} to 5, max workers {HEAVY.max_workers} to 6; "
        "2 variables"
    )


@pytest.mark.parametrize(
    ("old", "new", "summary"),
    [
        (GOOD, replace(GOOD, description="Nightly"), "Description: changed"),
        (GOOD, with_variable("TOKEN", "hunter2"), "variable TOKEN"),
        (GOOD, with_queue(), "heavy: added"),
        (with_queue(), GOOD, "heavy: removed"),
        (
            GOOD,
            replace(GOOD, executor="local", queues=()),
            "Executor: Celery to Local; Queue: removed",
        ),
    ],
)
def test_a_summary_says_what_became_of_a_thing(
    old: Configuration, new: Configuration, summary: str
) -> None:
    assert summary_of(changes(old, new)) == summary


def test_a_long_summary_counts_the_rest() -> None:
    queues = tuple(replace(HEAVY, name=f"queue-with-a-long-name-{n}") for n in range(15))

    summary = summary_of(changes(GOOD, replace(GOOD, queues=(*GOOD.queues, *queues))))

    assert len(summary) <= SUMMARY_LENGTH
    assert summary.endswith("; 10 more")


def test_effects_leave_out_what_a_greater_one_includes() -> None:
    new = replace(
        GOOD,
        description="Nightly",
        queues=(replace(GOOD.queues[0], concurrency=7, max_workers=9),),
    )
    worse = replace(new, variables=(Variable(key="A", value="b"),))
    worst = replace(worse, runtime="3.4.0-1")

    assert effects_of(changes(GOOD, new)) == ["Restarts the workers of default after their tasks"]
    assert effects_of(changes(GOOD, worse)) == [EVERYTHING_RESTARTS]
    assert effects_of(changes(GOOD, worst)) == [DATABASE_MIGRATES]
    assert effects_of(changes(GOOD, replace(GOOD, description="x"))) == [NOTHING_RESTARTS]


def test_a_queue_in_words_counts_right() -> None:
    one = WorkerQueue(name="one", size="local", concurrency=1, min_workers=1, max_workers=1)

    found = changes(GOOD, replace(GOOD, queues=(*GOOD.queues, one)))

    assert labels(found) == [("one", "not set", "1 task per worker, 1 worker")]
