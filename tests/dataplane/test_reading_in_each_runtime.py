"""The program that reads DAG files on clusters, with the Airflow of each runtime that earlier tests
installed: what it calls of Airflow was elsewhere in 3.1.
"""

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from apps.dataplane.kubernetes.projects.answers import read_answer
from apps.dataplane.project_checks.parsed import parsed_project
from apps.runtimes.catalogue import built_in
from tests.dataplane.local_world import installed_python

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
PROJECT = {
    "dags/daily.py": "from airflow.sdk import DAG\n\nwith DAG('daily', schedule='@daily'): pass\n",
    "dags/broken.py": "import not_there  # of a DAG in airflow\n",
    "plugins/bad.py": "raise ValueError('not today')\n",
}

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("version", [one.version for one in built_in()])
def test_dag_files_and_options_are_read_with_and_without_code(version: str, tmp_path: Path) -> None:
    python = installed_python(version)
    if python is None:
        pytest.skip(f"{version} was not installed by an earlier test")
    programs, given = tmp_path / "programs", tmp_path / "input"
    programs.mkdir()
    given.mkdir()
    for file in [*RUNTIME.glob("projects/*.py"), *RUNTIME.glob("checks/*.py")]:
        shutil.copy(file, programs)
    limits = {"seconds": 30, "total_seconds": 180, "memory_mib": 4096}
    options = {"AIRFLOW__CORE__PARALLELISM": "0"}
    (given / "job.json").write_text(json.dumps({**limits, "environment": options}))

    without = parsed_project(read(python, programs, given), 0)
    with zipfile.ZipFile(given / "code.part-00", "w") as archive:
        for name, text in PROJECT.items():
            archive.writestr(name, text)
    found = parsed_project(read(python, programs, given), 0)

    assert (without.dags, without.errors, without.file_count) == ((), (), 0)
    assert without.option_issues == found.option_issues
    assert found.option_issues
    assert found.option_issues[0].startswith("Invalid value `0` set for `parallelism`")
    assert [(one.dag_id, one.file, one.schedule) for one in found.dags] == [
        ("daily", "daily.py", "0 0 * * *")
    ]
    assert {one.file: one.line for one in found.errors} == {"broken.py": 1, "plugins/bad.py": 0}


def read(python: Path, programs: Path, given: Path) -> dict[str, Any]:
    said = subprocess.run(
        [str(python), str(programs / "read_dags.py")],
        env={"PATH": os.environ["PATH"], "PORTAL_INPUT": str(given)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, Any] = read_answer(said.stdout).fields["found"]
    return found
