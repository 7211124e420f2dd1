"""What Airflow says of DAG files that it cannot import: in its shape, in others, and hostile."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.dataplane.airflow_answers.import_errors import (
    FILE_CHARACTERS,
    MESSAGE_CHARACTERS,
    MOST_FAILURES,
    PATH,
    TRACEBACK_CHARACTERS,
    import_errors_in,
    read_import_errors,
)
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.spec import VariableSpec
from apps.dataplane.status import AirflowResponse, ImportErrors
from tests.dataplane.specs import make_spec

TRACEBACK = """Traceback (most recent call last):
  File "/opt/airflow/dags/etl/orders.py", line 12, in <module>
    from etl.helpers import rows
  File "/opt/airflow/dags/etl/helpers.py", line 3, in <module>
    import pandas
ModuleNotFoundError: No module named 'pandas'
"""


def row(**fields: Any) -> dict[str, Any]:
    """Return an import error as Airflow 3 gives it."""
    return {
        "import_error_id": 7,
        "timestamp": "2026-11-27T08:00:00Z",
        "filename": "etl/orders.py",
        "bundle_name": "portal",
        "stack_trace": TRACEBACK,
    } | fields


def read(*rows: object, total: object = None, secrets: tuple[str, ...] = ()) -> ImportErrors:
    count = len(rows) if total is None else total
    found = import_errors_in({"import_errors": list(rows), "total_entries": count}, secrets=secrets)
    assert found is not None
    return found


def test_file_line_reason_and_traceback_are_told() -> None:
    (found,) = read(row()).failures

    assert found.file == "etl/orders.py"
    assert found.line == 12
    assert found.message == "ModuleNotFoundError: No module named 'pandas'"
    assert found.traceback == TRACEBACK.strip()
    assert found.at == datetime(2026, 11, 27, 8, tzinfo=UTC)


def test_a_syntax_error_is_told_with_its_line() -> None:
    text = '  File "/dags/bad.py", line 4\n    def x(:\n          ^\nSyntaxError: invalid syntax'

    (found,) = read(row(filename="bad.py", stack_trace=text)).failures

    assert (found.line, found.message) == (4, "SyntaxError: invalid syntax")


def test_without_a_place_in_the_file_the_last_place_is_told_or_none() -> None:
    elsewhere, nowhere = read(
        row(filename="other.py"), row(stack_trace="It took too long.")
    ).failures

    assert elsewhere.line == 3
    assert nowhere.line is None
    assert nowhere.message == "It took too long."


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"import_errors": None}, {"import_errors": {"a": 1}}]
)
def test_another_answer_tells_nothing(data: object) -> None:
    assert import_errors_in(data) is None


def test_rows_of_another_shape_do_no_harm() -> None:
    found = read(
        "x", None, row(filename=7, stack_trace=None, timestamp=True), row(timestamp="soon")
    )

    assert [one.file for one in found.failures] == ["", "etl/orders.py"]
    assert [one.at for one in found.failures] == [None, None]


@pytest.mark.parametrize("total", [True, -5, "many", None, 10**12])
def test_a_count_that_cannot_be_is_not_believed(total: object) -> None:
    found = read(row(), total=total)

    assert 1 <= found.count <= 100_000


def test_the_count_is_of_all_and_few_are_kept() -> None:
    found = read(*[row(filename=f"dag_{number}.py") for number in range(60)], total=75)

    assert found.count == 75
    assert len(found.failures) == MOST_FAILURES


def test_long_texts_are_cut_and_keep_the_place_and_the_reason() -> None:
    text = f'File "x.py", line 1\n{"y" * 3_000_000}\nValueError: {"z" * 50}'

    (found,) = read(row(filename="x/" * 9_000, stack_trace=text)).failures

    assert len(found.file) == FILE_CHARACTERS
    assert len(found.traceback) < TRACEBACK_CHARACTERS + 50
    assert found.traceback.startswith('File "x.py", line 1')
    assert found.traceback.endswith("z" * 50)
    assert "more characters" in found.traceback
    assert len(read(row(stack_trace="e" * 9_000)).failures[0].message) == MESSAGE_CHARACTERS


def test_what_acts_on_a_screen_or_no_database_takes_is_removed() -> None:
    text = "\x1b[31mValue\x00Error\x1b[0m: \u202egnp.exe \ud800"

    (found,) = read(row(filename="a\x00\nb.py", stack_trace=text)).failures

    assert found.file == "a b.py"
    assert found.message == "ValueError: gnp.exe ?"


def test_values_of_secret_variables_are_masked_the_longest_first() -> None:
    text = "OperationalError: postgres://u:hunter2-long@db refused hunter2 for abc"

    (found,) = read(row(stack_trace=text), secrets=("hunter2", "hunter2-long", "abc", "")).failures

    assert found.message == "OperationalError: postgres://u:••••••@db refused •••••• for abc"


def test_a_plane_is_asked_for_the_newest_and_masks_its_secrets() -> None:
    FakePlane.store.reset()
    secret = VariableSpec(key="DB", value="s3cr3t-value", is_secret=True)
    plain = VariableSpec(key="ZONE", value="west-1", is_secret=False)
    spec = replace(make_spec("x"), variables=(secret, plain))
    asked: list[str] = []

    class Plane(FakePlane):
        def airflow(self, *, path: str, **_: Any) -> AirflowResponse:  # type: ignore[override]
            asked.append(path)
            rows = [row(stack_trace="KeyError: s3cr3t-value in west-1")]
            return AirflowResponse(status=200, data={"import_errors": rows, "total_entries": 1})

    found = read_import_errors(Plane(), spec=spec)

    assert found is not None
    assert found.failures[0].message == "KeyError: •••••• in west-1"
    assert asked == [f"{PATH}?limit={MOST_FAILURES}&order_by=-timestamp"]


def test_an_airflow_that_does_not_answer_tells_nothing() -> None:
    FakePlane.store.reset()
    FakePlane.store.fail("airflow", Unreachable("No."))

    assert read_import_errors(FakePlane(), spec=make_spec("x")) is None
    assert read_import_errors(FakePlane(), spec=make_spec("unknown")) is None
