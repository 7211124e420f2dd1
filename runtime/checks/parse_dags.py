"""Read all DAG files of a project as Airflow would, and say what they define.

Runs in the environment of the project, before the project is used: `python parse_dags.py <job>`,
where the job is a JSON file with `dags` (the folder), `paths` (where its modules come from),
`seconds` (for one file), `total_seconds`, `memory_mib` (of one file's process, 0 is unlimited) and
`output` (a file for the answer). Each file is read in a process of its own, as Airflow's
dag-processor does, so that one that crashes says nothing about the others.
"""

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

MOST_BYTES = 4 * 1024**2
MOST_DAGS = 5_000
MOST_ERRORS = 200
# Modules that ask Airflow for a value while a file is read. Here is no Airflow that could answer.
ASKING = (
    "airflow/models/variable.py",
    "airflow/models/connection.py",
    "airflow/sdk/definitions/variable.py",
    "airflow/sdk/definitions/connection.py",
    "airflow/sdk/bases/hook.py",
    "airflow/sdk/execution_time/context.py",
)


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Return `dags` (id, file, schedule, task count, owners, tags), `errors` (file, line, message,
    traceback, whether it asks Airflow) and `file_count`.
    """
    from airflow import plugins_manager  # noqa: PLC0415 - takes seconds, and may fail
    from airflow.dag_processing import dagbag  # noqa: PLC0415,F401 - so that children have it
    from airflow.utils.file import find_dag_file_paths  # noqa: PLC0415

    folder = Path(job["dags"])
    sys.path.extend(path for path in job["paths"] if path not in sys.path)
    errors = [
        [f"plugins/{Path(name).name}", 0, str(message)[:300], str(message)[:4000], False]
        for name, message in plugins_manager.get_import_errors().items()
    ]
    files = sorted(find_dag_file_paths(folder, safe_mode=True))
    ends_at = time.monotonic() + job["total_seconds"]
    dags: list[Any] = []
    for number, file in enumerate(files):
        if time.monotonic() > ends_at:
            name, count = relative(file, folder), len(files) - number
            errors.append([name, 0, f"There was no time to read {count} files.", "", False])
            break
        found = read_apart(file, folder, job)
        dags += found["dags"]
        errors += found["errors"]
    return {"dags": dags[:MOST_DAGS], "errors": errors[:MOST_ERRORS], "file_count": len(files)}


def read_apart(file: str, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Read one file in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        answer_and_end(file, folder, job, writing)
    os.close(writing)
    said, is_late = collect(reading, time.monotonic() + job["seconds"])
    os.close(reading)
    if is_late:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    try:
        found = json.loads(said)
        return {"dags": list(found["dags"]), "errors": list(found["errors"])}
    except (ValueError, KeyError, TypeError):
        name = relative(file, folder)
        return {"dags": [], "errors": [[name, 0, end_of(status, is_late, job), "", False]]}


def collect(reading: int, ends_at: float) -> tuple[bytes, bool]:
    """Return what the child says until it ends, and whether its time was over before."""
    said = b""
    while len(said) < MOST_BYTES:
        ready, _, _ = select.select([reading], [], [], max(0.0, ends_at - time.monotonic()))
        if not ready:
            return said, True
        chunk = os.read(reading, 65_536)
        if not chunk:
            return said, False
        said += chunk
    return b"", True


def end_of(status: int, is_late: bool, job: dict[str, Any]) -> str:
    if is_late:
        return f"Reading the file takes longer than {job['seconds']} seconds."
    if os.WIFSIGNALED(status):
        return f"Reading the file ends its process with signal {os.WTERMSIG(status)}."
    return "The file ends the process that reads it."


def answer_and_end(file: str, folder: Path, job: dict[str, Any], writing: int) -> None:
    """Read a file, write what it defines, and end the process whatever happens."""
    try:
        if job["memory_mib"] and sys.platform == "linux":
            limit = job["memory_mib"] * 1024**2
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        answer = json.dumps(read_file(file, folder)).encode()
        sent = 0
        while sent < len(answer):
            sent += os.write(writing, answer[sent : sent + 65_536])
    except MemoryError:
        message = f"Reading the file takes more than {job['memory_mib']} MiB of memory."
        row = [relative(file, folder), 0, message, "", False]
        os.write(writing, json.dumps({"dags": [], "errors": [row]}).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def read_file(file: str, folder: Path) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - imported by the parent

    bag = DagBag(
        dag_folder=os.devnull,
        collect_dags=False,
        bundle_path=folder,
        bundle_name="code",
        load_op_links=False,
    )
    bag.process_file(file, only_if_updated=False, safe_mode=True)
    name = relative(file, folder)
    errors = [error_row(name, str(text)) for text in bag.import_errors.values()]
    return {"dags": [dag_row(dag, name) for dag in bag.dags.values()], "errors": errors}


def dag_row(dag: Any, name: str) -> list[Any]:
    owners = sorted({str(getattr(task, "owner", "")) for task in dag.tasks})
    tags = sorted(str(tag) for tag in dag.tags or ())
    return [dag.dag_id, name, schedule_of(dag), len(dag.tasks), owners, tags]


def schedule_of(dag: Any) -> str:
    """Return the schedule in the words of Airflow's own pages."""
    from airflow.serialization.encoders import coerce_to_core_timetable  # noqa: PLC0415

    try:
        return str(coerce_to_core_timetable(dag.timetable).summary)
    # A timetable of a plugin is code of people.
    except Exception:
        return type(dag.timetable).__name__


def error_row(name: str, text: str) -> list[Any]:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    line = 0
    for one in lines:
        place, _, rest = one.strip().partition('", line ')
        if place.startswith('File "') and place.endswith(name):
            digits = rest.split(",")[0]
            line = int(digits) if digits.isdigit() else line
    message = lines[-1][:300] if lines else "It cannot be imported."
    return [name, line, message, text[-4000:], any(module in text for module in ASKING)]


def relative(file: str, folder: Path) -> str:
    try:
        return str(Path(file).relative_to(folder))
    except ValueError:
        return Path(file).name


def main() -> None:
    """Do the job and write the answer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    Path(job["output"]).write_text(json.dumps(read(job)))


if __name__ == "__main__":
    main()
