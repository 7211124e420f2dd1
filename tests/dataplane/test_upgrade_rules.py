"""What Ruff's rules for upgrades say of code that may be anything."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from apps.dataplane.errors import Permanent
from apps.dataplane.project_checks import upgrade_rules
from apps.dataplane.project_checks.processes import Limits
from apps.dataplane.project_checks.upgrade_rules import check_code

LINT = Path(__file__).resolve().parents[2] / "runtime" / "checks" / "config_lint.py"
OLD = """
from airflow import DAG
from airflow.operators.bash import BashOperator
from airflow.utils.dates import days_ago

with DAG("x", schedule_interval="@daily", start_date=days_ago(2)):
    BashOperator(task_id="a", bash_command="true")
"""


def archive_of(folder: Path, files: dict[str, str]) -> Path:
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_what_was_removed_and_what_will_be_is_named_with_its_place(tmp_path: Path) -> None:
    found = check_code(archive_of(tmp_path, {"dags/old.py": OLD, "dags/new.py": "x = 1\n"}))

    assert {(one.file, one.line, one.rule, one.is_removed) for one in found} == {
        ("dags/old.py", 6, "AIR301", True),
        ("dags/old.py", 6, "AIR311", False),
        ("dags/old.py", 7, "AIR312", False),
    }
    messages = [one.message for one in found]
    assert "`schedule_interval` is removed in Airflow 3.0. Use `schedule` instead." in messages


def test_hostile_names_and_files_are_read_as_text_and_nothing_configures_it(
    tmp_path: Path,
) -> None:
    files = {
        "../../outside.py": OLD,
        "/absolute\x1b[31m.py": OLD,
        "no_python.py": "def (:\n",
        "binary.py": "\x00\ud7ff",
        "deep.py": "(" * 50_000,
        "huge.py": "x = 1\n" * 300_000,
        "pyproject.toml": '[tool.ruff]\nexclude = ["*"]\n',
        "ruff.toml": 'extend = "/etc/passwd"\n',
    }

    found = check_code(archive_of(tmp_path, files))

    assert {one.file for one in found} == {"../../outside.py", "/absolute.py"}
    assert not [*tmp_path.parent.glob("outside.py")]


def test_without_code_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert check_code(archive_of(tmp_path, {"README.md": "x"})) == ()


def test_an_archive_that_is_none_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "code.zip"
    broken.write_bytes(b"PK")

    for path in (broken, tmp_path / "missing.zip"):
        with pytest.raises(Permanent, match="Deploy the code again"):
            check_code(path)


def test_a_check_that_takes_too_much_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = Limits(wall_seconds=60, cpu_seconds=60, memory_mib=8)
    monkeypatch.setattr(upgrade_rules, "LIMITS", little)

    with pytest.raises(Permanent, match="within its limits"):
        check_code(archive_of(tmp_path, {"a.py": OLD}))


def test_issues_that_airflow_wraps_are_one_line_each() -> None:
    spec = importlib.util.spec_from_file_location("config_lint", LINT)
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    output = (
        "Found issues in your airflow.cfg:\n  - Removed `a` from `core` section. \nUse `b`.\n"
        "  - Removed `c`\n\nPlease update your configuration file accordingly.\n"
    )

    assert program.issues_of(output) == [
        "Removed `a` from `core` section. Use `b`.",
        "Removed `c`",
    ]
    assert program.issues_of("No issues found in your airflow.cfg.\n") == []
