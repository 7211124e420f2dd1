"""What the code of a project names, and which of it a Deployment lacks."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from apps.deploys.previews.comparing import missing_names

PROGRAM = Path(__file__).resolve().parents[2] / "runtime" / "checks" / "code_names.py"
CODE = """
import os
from airflow import models
from airflow.sdk import Connection, Variable

a = Variable.get("plain")
b = models.Variable.get("lenient", default_var=None)
c = Variable.get(computed)
d = Connection.get("warehouse").host
e = os.environ["TOKEN"]
f = os.environ.get("REGION", "eu")
g = os.getenv("MODE")
os.environ["SET_HERE"] = "1"
args = {"postgres_conn_id": "orders_db", "conn_id": "{{ params.db }}"}
h = Operator(task_id="x", http_conn_id="api", bash_command="echo {{ var.value.batch }}")
i = "{{ var.json.get('limits', 5) }} {% if conn.ftp.host %}{% endif %} var.value.no_template"
j = other.get("not_a_variable")
"""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("code_names", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_written_as_a_constant_is_found(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text(CODE)

    found = {(row[0], row[1]): row[4] for row in program.names_below(tmp_path)}

    assert found == {
        ("variable", "plain"): False,
        ("variable", "lenient"): True,
        ("variable", "batch"): False,
        ("variable", "limits"): True,
        ("connection", "warehouse"): False,
        ("connection", "orders_db"): False,
        ("connection", "api"): False,
        ("connection", "ftp"): False,
        ("environment", "TOKEN"): False,
        ("environment", "REGION"): True,
        ("environment", "MODE"): False,
    }


def test_a_name_counts_once_and_without_a_default_where_one_place_has_none(
    program: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text('Variable.get("x", "y")')
    (tmp_path / "b.py").write_text('\nVariable.get("x")')

    assert program.names_below(tmp_path) == [["variable", "x", "a.py", 1, False]]


def test_hostile_files_are_passed_over_and_the_answer_has_an_end(
    program: ModuleType, tmp_path: Path
) -> None:
    hostile = {
        "broken.py": b"def (",
        "nul.py": b"\0",
        "deep.py": b"(" * 5_000 + b")" * 5_000,
        "encoding.py": b"# coding: no-such\nx = 1",
        "large.py": b"#" * (program.MOST_FILE_BYTES + 1),
        "long.py": f'Variable.get("{"n" * 300}")'.encode(),
        "many.py": "".join(f'Variable.get("v{i}")\n' for i in range(900)).encode(),
        "template.py": ("x = '{{" + "{{" * 20_000 + "'").encode(),
        "z.py": b'Variable.get("good")',
    }
    for name, content in hostile.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.py").symlink_to("/etc/passwd")

    found = program.names_below(tmp_path)

    assert len(found) == program.MOST_NAMES
    assert {row[2] for row in found} == {"many.py"}


def test_environment_variables_give_variables_and_connections() -> None:
    rows = [
        ["variable", "batch", "a.py", 1, False],
        ["connection", "orders_db", "a.py", 2, False],
        ["connection", "given", "a.py", 3, False],
        ["environment", "TOKEN", "a.py", 4, True],
        ["environment", "HOME", "a.py", 5, False],
        ["environment", "AIRFLOW_HOME", "a.py", 5, False],
    ]

    missing = missing_names(rows, given=["AIRFLOW_VAR_BATCH", "AIRFLOW_CONN_GIVEN"])

    assert [(one.name, one.variable, one.has_default) for one in missing] == [
        ("orders_db", "AIRFLOW_CONN_ORDERS_DB", False),
        ("TOKEN", "TOKEN", True),
    ]
