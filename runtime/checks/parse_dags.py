"""Read all DAG files of a project as Airflow would, and say what they define.

Runs in the environment of the project, before the project is used: `python parse_dags.py <job>`,
where the job is a JSON file with `dags` (the folder), `paths` (where its modules come from),
`seconds` (for one file), `total_seconds`, `memory_mib` (of one file's process, 0 is unlimited) and
`output` (a file for the answer). Each file is read in a process of its own, as Airflow's
dag-processor does, so that one that crashes says nothing about the others; a few at a time.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from inspect import signature
from pathlib import Path
from typing import Any

MOST_BYTES = 4 * 1024**2
MOST_DAGS = 5_000
MOST_ERRORS = 200
# As many as are read at once; a machine with many processors has other work, too.
AT_A_TIME = min(4, os.cpu_count() or 1)
# Stand for no file: the child looks for what all files name, or has Airflow check its options.
NAMES, OPTIONS = "", "options"
WARM_UP = """
from datetime import datetime
from airflow.sdk import DAG, dag, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator

with DAG("warm_up", schedule="@daily", start_date=datetime(2026, 1, 1)):
    BashOperator(task_id="a", bash_command="true")
    PythonOperator(task_id="b", python_callable=print)
"""
# Modules that ask Airflow for a value while a file is read. Here is no Airflow that could answer.
ASKING = (
    "airflow/models/variable.py",
    "airflow/models/connection.py",
    "airflow/sdk/definitions/variable.py",
    "airflow/sdk/definitions/connection.py",
    "airflow/sdk/bases/hook.py",
    "airflow/sdk/execution_time/context.py",
)


class Child:
    """A process that reads one file; `said` is what it has written so far."""

    def __init__(self, file: str, folder: Path, job: dict[str, Any]) -> None:
        reading, writing = os.pipe()
        self.file, self.said, self.reading = file, b"", reading
        self.is_late, self.ends_at = False, time.monotonic() + job["seconds"]
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            answer_and_end(file, folder, job, writing)
        os.close(writing)

    def hear(self) -> bool:
        """Take what was written; return whether the process has ended, or says too much."""
        chunk = os.read(self.reading, 65_536)
        self.said += chunk
        if len(self.said) >= MOST_BYTES:
            self.said, self.is_late = b"", True
        return not chunk or self.is_late

    def end(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """End the process and return what it found in its file."""
        os.close(self.reading)
        if self.is_late:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        try:
            found = json.loads(self.said)
            return {"dags": list(found["dags"]), "errors": list(found["errors"])}
        except (ValueError, KeyError, TypeError):
            name = relative(self.file, folder)
            message = end_of(status, self.is_late, job)
            return {"dags": [], "errors": [[name, 0, message, "", False]]}


def read(job: dict[str, Any]) -> dict[str, Any]:
    """Return `dags` (id, file, schedule, task count, owners, tags), `errors` (file, line, message,
    traceback, whether it asks Airflow), `file_count`, `names` (see `code_names`) and `options` (see
    `config_lint`), None where they could not be looked for.
    """
    from airflow import plugins_manager  # noqa: PLC0415 - takes seconds, and may fail
    from airflow.utils.file import find_dag_file_paths  # noqa: PLC0415

    folder = Path(job["dags"])
    sys.path.extend(path for path in job["paths"] if path not in sys.path)
    errors = [
        [f"plugins/{Path(name).name}", 0, str(message)[:300], str(message)[:4000], False]
        for name, message in plugin_errors(plugins_manager).items()
    ]
    names, options = read_one(NAMES, job), read_one(OPTIONS, job)
    warm_up(Path(job["output"]).parent)
    files = sorted(find_dag_file_paths(folder, safe_mode=True))
    found, n_unread = read_all(files, folder, job)
    if n_unread:
        name = relative(files[-n_unread], folder)
        errors.append([name, 0, f"There was no time to read {n_unread} files.", "", False])
    for one in found:
        errors += one["errors"]
    dags = [row for one in found for row in one["dags"]]
    return {
        "dags": dags[:MOST_DAGS],
        "errors": errors[:MOST_ERRORS],
        "file_count": len(files),
        "names": names,
        "options": options,
    }


def plugin_errors(manager: Any) -> dict[str, Any]:
    """Return which plugins cannot be imported. Airflow 3.1 has them in a variable."""
    if hasattr(manager, "get_import_errors"):
        return dict(manager.get_import_errors())
    manager.ensure_plugins_loaded()
    return dict(manager.import_errors)


def warm_up(folder: Path) -> None:
    """Read a file of our own, so that what every file imports is imported once, before the forks:
    it was more than a third of the processor time.
    """
    file = folder / "warm_up.py"
    file.write_text(WARM_UP)
    try:
        read_file(str(file), folder)
    # The first file of the project then says why.
    except Exception:
        traceback.print_exc()
    file.unlink()
    gc.collect()
    gc.freeze()


def read_all(
    files: list[str], folder: Path, job: dict[str, Any]
) -> tuple[list[dict[str, Any]], int]:
    """Read each file in a process of its own, a few at a time. Return what they found in the order
    of the files, and for how many of the last ones there was no time.
    """
    ends_at = time.monotonic() + job["total_seconds"]
    waiting = list(reversed(files))
    running: dict[int, Child] = {}
    found: dict[str, dict[str, Any]] = {}
    while running or (waiting and time.monotonic() <= ends_at):
        while waiting and len(running) < AT_A_TIME and time.monotonic() <= ends_at:
            child = Child(waiting.pop(), folder, job)
            running[child.reading] = child
        for child in ended(running):
            del running[child.reading]
            found[child.file] = child.end(folder, job)
    return [found[file] for file in files if file in found], len(waiting)


def ended(running: dict[int, Child]) -> list[Child]:
    """Wait until a child writes, ends or is late; return those that are done."""
    left = min(child.ends_at for child in running.values()) - time.monotonic()
    ready, _, _ = select.select(list(running), [], [], max(0.0, left))
    done = [running[one] for one in ready if running[one].hear()]
    now = time.monotonic()
    for child in running.values():
        if child.ends_at <= now and child not in done:
            child.is_late = True
            done.append(child)
    return done


def read_one(what: str, job: dict[str, Any]) -> list[Any] | None:
    """Look for what is in no file alone, in a process with the limits of a file."""
    folder = Path(job["paths"][0])
    child = Child(what, folder, job)
    while not ended({child.reading: child}):
        continue
    found = child.end(folder, job)
    return None if found["errors"] else found["dags"]


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
    if file == NAMES:
        from code_names import names_below  # noqa: PLC0415 - beside this file

        return {"dags": names_below(folder), "errors": []}
    if file == OPTIONS:
        from config_lint import lint  # noqa: PLC0415 - beside this file

        return {"dags": lint(), "errors": []}
    kind = dag_bag()
    # Airflow 3.1 does not take it.
    named = {"bundle_name": "code"} if "bundle_name" in signature(kind).parameters else {}
    bag = kind(
        dag_folder=os.devnull, collect_dags=False, bundle_path=folder, load_op_links=False, **named
    )
    bag.process_file(file, only_if_updated=False, safe_mode=True)
    name = relative(file, folder)
    errors = [error_row(name, str(text)) for text in bag.import_errors.values()]
    return {"dags": [dag_row(dag, name) for dag in bag.dags.values()], "errors": errors}


def dag_bag() -> Any:
    """Return the class that reads files, which was elsewhere in Airflow 3.1."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - imported by the parent
    except ImportError:
        from airflow.models.dagbag import DagBag  # noqa: PLC0415
    return DagBag


def dag_row(dag: Any, name: str) -> list[Any]:
    owners = sorted({str(getattr(task, "owner", "")) for task in dag.tasks})
    tags = sorted(str(tag) for tag in dag.tags or ())
    return [dag.dag_id, name, schedule_of(dag), len(dag.tasks), owners, tags]


def schedule_of(dag: Any) -> str:
    """Return the schedule in the words of Airflow's own pages."""
    try:
        from airflow.serialization.encoders import coerce_to_core_timetable  # noqa: PLC0415
    except ImportError:
        # In Airflow 3.1 DAGs have timetables of the core.
        def coerce_to_core_timetable(timetable: Any) -> Any:
            return timetable

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
