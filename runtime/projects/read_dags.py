"""Read the DAG files of a project in the image that it is to run in; see `parse_dags`.

What they do is done here, in a pod that holds no secret: neither of the Deployment nor of the
registry. So nothing is believed of the answer but its shape.
"""

import io
import json
import os
import resource
import site
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import job

PROGRAMS = Path(__file__).parent
MOST_ANSWER_BYTES = 16 * 1024**2
MIB = 1024**2
# Beside `dags`: what makes a folder a whole project. Known to `portal_code`, too.
MARKS = ("plugins", "include", "requirements.txt", "pyproject.toml", "packages.txt", "Dockerfile")


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Return what `parse_dags` says as `found`, or the end of its log as `log`. `task` has its
    limits and `environment`: the plain variables of the Deployment.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        code = unpacked(folder / "code")
        is_whole = is_project(code)
        dags = code / "dags" if is_whole else code
        limits = {key: task[key] for key in ("seconds", "total_seconds", "memory_mib")}
        places = {"dags": str(dags), "paths": [str(code), str(dags)]}
        answer = folder / "answer.json"
        (folder / "job.json").write_text(json.dumps({**limits, **places, "output": str(answer)}))
        log, is_late = read(folder, environment(task, folder, code, is_whole), task)
        return {"found": load(answer), "log": log[-8_000:], "is_late": is_late}


def unpacked(folder: Path) -> Path:
    """Unpack the code, if there is any; its archive was made and checked by the portal."""
    folder.mkdir()
    content = job.joined("code")
    if not content:
        return folder
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            place = Path(archive.extract(member, folder))  # `extract` keeps to the folder
            if member.external_attr >> 16 & 0o100 and place.is_file():
                place.chmod(0o755)
    return folder


def is_project(code: Path) -> bool:
    dags = code / "dags"
    is_package = (dags / "__init__.py").exists()
    return dags.is_dir() and not is_package and any((code / name).exists() for name in MARKS)


def environment(task: dict[str, Any], folder: Path, code: Path, is_whole: bool) -> dict[str, str]:
    """Return the variables of the process that reads. Plugins of the project take the place of
    those of the image, as in the Deployment.
    """
    has_plugins = is_whole and (code / "plugins").is_dir()
    airflow = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        # Where Airflow is in images that install for one user.
        "PYTHONUSERBASE": site.getuserbase(),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(code),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(
            (code if has_plugins else folder / "none") / "plugins"
        ),
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "20",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'none.db'}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(code) if is_whole else "",
        "PYTHONUNBUFFERED": "1",
    }
    return {**os.environ, **task["environment"], **airflow}


def read(folder: Path, variables: dict[str, str], task: dict[str, Any]) -> tuple[str, bool]:
    """Run the reading program to its end; return its log, and whether its time was over."""
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "parse_dags.py"), str(folder / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=folder,
            start_new_session=True,
            preexec_fn=limit_files,
        )
        is_late = False
        try:
            process.wait(timeout=task["total_seconds"] + 60)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            job.end_group(process)
        return job.tail_of(output), is_late


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 * MIB, 512 * MIB))


def load(answer: Path) -> Any:
    try:
        if answer.stat().st_size <= MOST_ANSWER_BYTES:
            return json.loads(answer.read_text())
    except (OSError, ValueError, RecursionError):
        pass
    return None


if __name__ == "__main__":
    job.run(work)
