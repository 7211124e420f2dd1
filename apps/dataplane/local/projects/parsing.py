"""Read the DAG files of a project before it is used: in its environment, by a program with limits.

The program gets the Deployment's plain variables and none of its secrets. What it says is the
user's code speaking: bounded, and stripped of what acts on a screen.
"""

import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from apps.dataplane.errors import Permanent
from apps.dataplane.local.airflow.code import check_archive, copy_modes
from apps.dataplane.local.airflow.environment import SYSTEM_PATH
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.projects.environments import Environment
from apps.dataplane.local.projects.plugins import is_project
from apps.dataplane.project import ParsedProject
from apps.dataplane.project_checks.layout import PLUGINS
from apps.dataplane.project_checks.parsed import (
    FILE_SECONDS,
    TOTAL_SECONDS,
    parsed_project,
    plain_variables,
)
from apps.dataplane.project_checks.processes import Ended, Limits, run
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.untrusted import text_of

MEMORY_MIB = 4096
LIMITS = Limits(wall_seconds=TOTAL_SECONDS + 60, cpu_seconds=TOTAL_SECONDS + 60, file_mib=512)
MOST_ANSWER_BYTES = 16 * 1024**2


def parse(*, config: LocalConfig, environment: Environment, spec: DeploymentSpec) -> ParsedProject:
    """Return what the DAG files of `spec.code` define, and which cannot be imported.

    Raises Permanent when Airflow itself cannot be started in the environment.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="portal-parse-") as name:
        folder = Path(name)
        code = folder / "code"
        code.mkdir()
        if spec.code is not None:
            _unpack(Path(spec.code.archive_path), code)
        job = folder / "job.json"
        job.write_text(json.dumps(_job(folder, code)))
        program = config.runtime_folder / "checks" / "parse_dags.py"
        ended = run(
            [str(environment.python), str(program), str(job)],
            environment=_environment(config, environment, spec, folder, code),
            folder=folder,
            limits=LIMITS,
        )
        said = _read_answer(folder / "answer.json", ended)
    return parsed_project(said, time.monotonic() - began)


def _unpack(path: Path, code: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        check_archive(archive)
        archive.extractall(code)  # noqa: S202 - every name was checked
        copy_modes(code, archive)


def _job(folder: Path, code: Path) -> dict[str, Any]:
    dags = code / "dags" if is_project(code) else code
    return {
        "dags": str(dags),
        "paths": [str(code), str(dags)],
        "seconds": FILE_SECONDS,
        "total_seconds": TOTAL_SECONDS,
        "memory_mib": MEMORY_MIB,
        "output": str(folder / "answer.json"),
    }


def _environment(
    config: LocalConfig, environment: Environment, spec: DeploymentSpec, folder: Path, code: Path
) -> dict[str, str]:
    plugins = code / PLUGINS
    return {
        "LANG": "C.UTF-8",
        **plain_variables(spec.variables),
        "PATH": f"{environment.path / 'bin'}:{SYSTEM_PATH}",
        "HOME": str(folder),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(code),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins if is_project(code) else folder / "none"),
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "20",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'none.db'}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(code) if is_project(code) else "",
        "PYTHONUNBUFFERED": "1",
    }


def _read_answer(answer: Path, ended: Ended) -> dict[str, Any]:
    try:
        if answer.stat().st_size <= MOST_ANSWER_BYTES:
            said = json.loads(answer.read_text())
            if isinstance(said, dict):
                return said
    except (OSError, ValueError, RecursionError):
        pass
    if ended.is_late:
        raise Permanent(f"Reading the DAG files takes longer than {TOTAL_SECONDS // 60} minutes.")
    lines = [text_of(line) for line in ended.output.splitlines() if line.strip()]
    raise Permanent(
        "Airflow does not start with the packages of the project, so its DAG files were not read.",
        log=tuple(lines[-30:]),
    )
