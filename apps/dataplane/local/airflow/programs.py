"""The supervised programs of a Deployment. Pure: from the spec and the facts of this machine.

A worker's name holds a digest of all that it runs with. An edit that changes a worker therefore
makes new programs, which take tasks at once, while the old ones finish theirs and exit.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.dataplane.local.airflow.environment import DAY_SECONDS
from apps.dataplane.local.layout import Folder
from apps.dataplane.local.machine.supervisor import Program
from apps.dataplane.spec import DeploymentSpec, WorkerQueue

API_SERVER = "api-server"
CORE = (API_SERVER, "scheduler", "dag-processor", "triggerer")
CORE_ARGUMENTS = {
    API_SERVER: ["api-server"],
    "scheduler": ["scheduler"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
# How long LocalExecutor's tasks may go on when their scheduler has to stop.
TASK_SECONDS = 600
MIGRATE = "migrate"
RESTORE = "restore"
WORKER = re.compile(r"worker-(?P<queue>.+)-(?P<digest>[0-9a-f]{8})-(?P<slot>\d+)")


@dataclass(frozen=True, kw_only=True)
class WorkerName:
    """The parts of a worker's program name."""

    queue: str
    digest: str
    slot: int


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What programs need besides the spec: where they run, and their two environments."""

    folder: Folder
    python: Path
    core: Mapping[str, str] = field(repr=False)
    worker: Mapping[str, str] = field(repr=False)


def program_name(ref: str, component: str) -> str:
    """Name the program of a component."""
    return f"{ref}--{component}"


def component_of(ref: str, program: str) -> str:
    """Return the component of a program of this Deployment, empty if it is of another one."""
    prefix = f"{ref}--"
    component = program.removeprefix(prefix)
    is_ours = component in (*CORE, MIGRATE, RESTORE) or WORKER.fullmatch(component)
    return component if program.startswith(prefix) and is_ours else ""


def worker_name(component: str) -> WorkerName | None:
    """Return the parts of a worker's component name, None for any other component."""
    match = WORKER.fullmatch(component)
    if match is None:
        return None
    return WorkerName(queue=match["queue"], digest=match["digest"], slot=int(match["slot"]))


def status_name(ref: str, program: str) -> str:
    """Return the display name of a program's component (`worker default`), empty if not ours."""
    component = component_of(ref, program)
    worker = worker_name(component)
    return f"worker {worker.queue}" if worker else component


def core_programs(*, spec: DeploymentSpec, around: Surroundings) -> list[Program]:
    """Return api-server, scheduler, dag-processor and triggerer, in starting order."""
    programs = []
    for component in CORE:
        runs_tasks = component == "scheduler" and spec.executor == "local"
        arguments = [*CORE_ARGUMENTS[component], *(["--skip-serve-logs"] if runs_tasks else [])]
        program = _program(
            spec.ref,
            component,
            arguments,
            around.core,
            around,
            stop_wait_seconds=TASK_SECONDS if runs_tasks else 15,
            # LocalExecutor's tasks are children of the scheduler, which waits for them when it
            # stops.
            stops_whole_group=not runs_tasks,
        )
        programs.append(program)
    return programs


def migrate_program(*, spec: DeploymentSpec, around: Surroundings) -> Program:
    """Return the one-shot program that migrates the metadata database to the spec's Airflow."""
    return _program(
        spec.ref,
        MIGRATE,
        ["db", "migrate"],
        around.core,
        around,
        stop_wait_seconds=60,
        is_restarted=False,
    )


def worker_programs(
    *, spec: DeploymentSpec, queue: WorkerQueue, around: Surroundings
) -> list[Program]:
    """Return the slots of a queue: as many programs as the queue may have workers."""
    digest = _digest(queue, around)
    programs = []
    for slot in range(queue.max_workers):
        component = f"worker-{queue.name}-{digest}-{slot}"
        arguments = [
            "celery",
            "worker",
            "--queues",
            queue.name,
            "--concurrency",
            str(queue.concurrency),
        ]
        arguments += ["--skip-serve-logs", "--without-gossip", "--without-mingle"]
        arguments += ["--celery-hostname", f"{spec.ref}-{component}@local"]
        log_file = around.folder.process_logs / f"{component}.log"
        program = _program(
            spec.ref,
            component,
            arguments,
            around.worker,
            around,
            stop_wait_seconds=DAY_SECONDS,
            # The signal goes to Celery's main process alone: one that reaches the tasks kills them.
            stops_whole_group=False,
        )
        programs.append(_writing_to(program, log_file))
    return programs


def _writing_to(program: Program, log_file: Path) -> Program:
    """Return the program with its output in a file instead of in supervisord's pipe.

    A worker outlives a supervisord that was killed, to finish its tasks. With the pipe gone every
    line that it or a task writes would fail, and the task with it.
    """
    shell = ["/bin/sh", "-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "worker", str(log_file)]
    return replace(
        program,
        command=[*shell, *program.command],
        log_file=log_file.with_name("workers-start.log"),
    )


def _digest(queue: WorkerQueue, around: Surroundings) -> str:
    parts = [
        queue.name,
        str(queue.concurrency),
        str(around.python),
        json.dumps(dict(around.worker), sort_keys=True),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _program(
    ref: str,
    component: str,
    arguments: list[str],
    environment: Mapping[str, str],
    around: Surroundings,
    *,
    stop_wait_seconds: int,
    stops_whole_group: bool = True,
    is_restarted: bool = True,
) -> Program:
    return Program(
        name=program_name(ref, component),
        command=[str(around.python), "-m", "airflow", *arguments],
        environment=environment,
        directory=around.folder.path,
        log_file=around.folder.process_logs / f"{component}.log",
        is_restarted=is_restarted,
        start_seconds=15 if is_restarted else 0,
        start_retries=3 if is_restarted else 0,
        stop_wait_seconds=stop_wait_seconds,
        stops_whole_group=stops_whole_group,
    )
