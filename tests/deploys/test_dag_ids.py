from pathlib import Path

import pytest

from apps.deploys.archives.dag_ids import MAX_CPU_SECONDS, MAX_FILE_BYTES, DagIds, ids_in
from tests.deploys.test_archives import build, zip_of

A_DAG = b"from airflow.sdk import DAG\nwith DAG('sales'):\n    pass\n"
SAME_BY_NAME = b"from airflow.decorators import dag\n@dag\ndef sales(): ...\nsales()\n"
NOTE = (
    "a.py and b.py define the same DAG id, sales. Airflow keeps one DAG of that id and may switch "
    "between the files. Rename one of them."
)


@pytest.mark.parametrize("other", [A_DAG, SAME_BY_NAME])
def test_two_files_with_one_dag_id_are_said_with_both_files(tmp_path: Path, other: bytes) -> None:
    archive = build(tmp_path, zip_of({"a.py": A_DAG, "b.py": other}))

    assert archive.warnings == (NOTE,)


def test_a_file_that_airflow_ignores_is_no_second_one(tmp_path: Path) -> None:
    files = {"a.py": A_DAG, "old/b.py": A_DAG, ".airflowignore": b"old/"}

    assert build(tmp_path, zip_of(files)).warnings == ()


def test_many_files_with_one_dag_id_are_counted(tmp_path: Path) -> None:
    archive = build(tmp_path, zip_of({f"{name}.py": A_DAG for name in "abcde"}))

    assert archive.warnings[0].startswith(
        "a.py, b.py, c.py and 2 more define the same DAG id, sales."
    )


def test_many_ids_do_not_make_a_note_each(tmp_path: Path) -> None:
    source = b"from airflow import DAG\n" + b"".join(b"DAG('d%02d')\n" % n for n in range(13))

    archive = build(tmp_path, zip_of({"a.py": source, "b.py": source}))

    assert len(archive.warnings) == 11
    assert archive.warnings[-1] == "3 more DAG ids are defined by more than one file."


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ("from airflow import DAG\nDAG(dag_id='x')", {"x"}),
        ("from airflow import DAG as D\nd = D('x', schedule=None)", {"x"}),
        ("import airflow.models\nairflow.models.DAG('x')", {"x"}),
        ("from airflow import models as m\nm.DAG('x')", {"x"}),
        ("import airflow.sdk as af\n@af.dag()\ndef x(): ...\nx()", {"x"}),
        ("from airflow.sdk import dag\n@dag(dag_id='y', schedule=None)\ndef x(): ...\nx()", {"y"}),
        ("from airflow.sdk import dag\n@dag('y')\ndef x(): ...\nd = x()", {"y"}),
        ("from airflow.sdk import dag\n@dag\ndef x(): ...", set()),
        ("from airflow.sdk import dag\n@dag(**options)\ndef x(): ...\nx()", set()),
        ("from airflow.sdk import DAG\nfor n in 'ab': DAG(f'x_{n}')", set()),
        ("from airflow.sdk import DAG\nDAG(NAME)", set()),
        ("from airflow.sdk import DAG\nNAME = 'x'\nDAG(NAME)", {"x"}),
        ("from airflow.sdk import DAG\nNAME: str = 'x'\nDAG(dag_id=NAME)", {"x"}),
        ("from airflow.sdk import DAG\nNAME = 'x'\nNAME = 'y'\nDAG(NAME)", set()),
        ("from airflow.sdk import DAG\nN = 'x'\nfor N in ids(): DAG(N)", set()),
        ("from airflow.sdk import DAG\nN = 'x'\ndef make(N): return DAG(N)", set()),
        ("from airflow.sdk import DAG\nN = 1\nDAG(N)", set()),
        ("from airflow.sdk import DAG\nDAG('not an id')", set()),
        ("from airflow.sdk import DAG\nif __name__ == '__main__':\n    DAG('x')", set()),
        ("from networks import DAG  # not of airflow\nDAG('x')", set()),
        ("from airflow.sdk import DAG\n'''DAG('x')'''", set()),
        ("from airflow.sdk import DAG\nDAG('x'", set()),
    ],
)
def test_ids_are_read_where_they_stand_literally(source: str, ids: set[str]) -> None:
    assert ids_in(source.encode()) == ids


def test_a_source_that_is_nested_too_deeply_has_no_ids() -> None:
    assert ids_in(b"from airflow import DAG\nx = " + b"-" * 100_000 + b"1") == set()


def test_reading_ids_stops_before_it_costs_an_upload_its_acceptance() -> None:
    large, late = DagIds(), DagIds()
    late.spent_seconds = MAX_CPU_SECONDS + 1

    large.add("a.py", A_DAG + b"#" * MAX_FILE_BYTES)
    late.add("a.py", A_DAG)

    assert large.paths == late.paths == {}
