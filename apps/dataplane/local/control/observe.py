"""Observe a Deployment: supervisord, Airflow's own health report, the metadata database, memory.

Nothing here changes anything, and an Airflow that is down is an observation, not an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from apps.dataplane.errors import DataPlaneError, Temporary, Unreachable
from apps.dataplane.hibernation.turns import is_hibernating
from apps.dataplane.local.airflow import api as airflow_api
from apps.dataplane.local.airflow import code
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.metadata.task_counts import QUEUE_COUNTS, TaskCounts, count_tasks
from apps.dataplane.local.airflow.programs import CORE, program_name, status_name
from apps.dataplane.local.airflow.steps import running_tasks, waiting_for
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control.health import (
    Facts,
    core_state,
    heartbeat_of,
    hibernation_message,
    moment,
    verdict,
)
from apps.dataplane.local.control.restarts import count_restarts
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    State,
    Wanted,
    WantedQueue,
    read_plan,
    read_state,
    read_wanted,
)
from apps.dataplane.local.machine.processes import CpuMeter, is_worker_ready, tree_usage
from apps.dataplane.local.machine.supervisor import Supervisor
from apps.dataplane.status import (
    ComponentState,
    ComponentStatus,
    Observation,
    QueueStatus,
)

API_SECONDS = 2.0
RESTARTS_PERIOD = timedelta(hours=24)
# CPU is what was used between two looks of this process.
_METER = CpuMeter()


class Observer:
    """Observes one Deployment."""

    def __init__(self, *, home: Home, config: LocalConfig, folder: Folder) -> None:
        self.home = home
        self.config = config
        self.folder = folder
        self.supervisor = Supervisor(home)

    def observe(self) -> Observation:
        """Return what is true now. Raises Unreachable only when supervisord does not answer."""
        state = read_state(self.folder)
        if state is None:
            return _nothing()
        wanted = read_wanted(self.folder)
        hibernates = is_hibernating(read_plan(self.folder), datetime.now(UTC))
        if hibernates:
            queues = [replace(queue, min_workers=0) for queue in wanted.queues]
            wanted = replace(wanted, core=[], queues=queues)
        facts = self._facts(state)
        components = tuple(
            [self._core(name, facts, wanted) for name in CORE]
            + [self._workers(queue, facts) for queue in wanted.queues]
        )
        health, message = verdict(components, facts, wanted)
        if hibernates:
            health, message = "stopped", hibernation_message(facts)
        return Observation(
            observed_at=datetime.now(UTC),
            exists=True,
            applied_revision=state.applied_revision,
            health=health,
            message=message,
            components=components,
            queues=tuple(
                _queue(queue, status, facts) for queue, status in _queues(wanted, components)
            ),
            code_digest=code.current_digest(self.folder),
            import_errors=facts.import_errors,
            ui_url=f"{self.config.edge_url}/{self.folder.ref}/",
            api_url=f"{self.config.edge_url}/{self.folder.ref}/api/v2",
            is_drifted=self._is_drifted(state, wanted, facts),
        )

    def _facts(self, state: State) -> Facts:
        try:
            programs = self.supervisor.states(f"{self.folder.ref}--")
        except Temporary as error:
            raise Unreachable("The supervisor of this machine does not answer.") from error
        tasks, import_errors = self._counts(state)
        scheduler = programs.get(program_name(self.folder.ref, "scheduler"))
        is_stopping = scheduler is not None and scheduler.state == "STOPPING"
        usage = {name: tree_usage(one.pid) for name, one in programs.items() if one.pid}
        cpu = {name: _METER.millis(programs[name].pid, used) for name, used in usage.items()}
        return Facts(
            programs=programs,
            report=self._report(state),
            tasks=tasks,
            import_errors=import_errors,
            running_tasks=running_tasks(self.config, self.folder, state) if is_stopping else "",
            memory={name: used.memory_bytes for name, used in usage.items()},
            cpu={name: millis for name, millis in cpu.items() if millis is not None},
            restarts=count_restarts(self.folder, since=datetime.now(UTC) - RESTARTS_PERIOD),
        )

    def _report(self, state: State) -> Mapping[str, Mapping[str, str]]:
        try:
            response = airflow_api.call(
                port=state.api_port,
                ref=self.folder.ref,
                method="GET",
                path="/api/v2/monitor/health",
                timeout_seconds=API_SECONDS,
            )
        except DataPlaneError:
            return {}
        return response.data if response.status == 200 and isinstance(response.data, dict) else {}

    def _counts(self, state: State) -> tuple[TaskCounts | None, int | None]:
        try:
            with database.deployment_connection(self.config, self.folder, state) as connection:
                tasks = count_tasks(connection.execute(QUEUE_COUNTS).fetchall())
                row = connection.execute("SELECT count(*) FROM import_error").fetchone()
        except Temporary:
            return None, None
        return tasks, int(str(row[0])) if row else None

    def _core(self, component: str, facts: Facts, wanted: Wanted) -> ComponentStatus:
        name = program_name(self.folder.ref, component)
        program = facts.programs.get(name)
        wanted_count = int(name in wanted.core)
        if program is None:
            return ComponentStatus(name=component, state="stopped", ready=0, wanted=wanted_count)
        heartbeat = heartbeat_of(component, facts.report)
        state, detail = core_state(component, program, heartbeat, facts)
        if state == "stopping" and facts.running_tasks:
            _, detail = waiting_for([component], facts.running_tasks)
        return ComponentStatus(
            name=component,
            state=state,
            ready=int(state == "running" and not detail),
            wanted=wanted_count,
            detail=detail,
            started_at=moment(program.started_at) if program.pid else None,
            heartbeat_at=heartbeat,
            memory_bytes=facts.memory.get(name),
            cpu_millis=facts.cpu.get(name),
            restarts=facts.restarts.get(component, 0),
        )

    def _workers(self, queue: WantedQueue, facts: Facts) -> ComponentStatus:
        slots = [facts.programs[name] for name in queue.programs if name in facts.programs]
        up = [program for program in slots if program.is_up]
        ready = [program for program in up if is_worker_ready(program.pid)]
        leaving = [name for name in self._old_workers(queue, facts) if facts.programs[name].pid]
        state: ComponentState = "running" if ready or not up else "starting"
        if any(program.state in {"FATAL", "BACKOFF"} for program in slots):
            state = "failed" if any(program.state == "FATAL" for program in slots) else "crashing"
        elif not up:
            state = "stopped" if not queue.min_workers else "starting"
        names = [program.name for program in up] + leaving
        started = [program.started_at for program in up]
        return ComponentStatus(
            name=f"worker {queue.name}",
            state=state,
            ready=len(ready),
            wanted=max(len(up), queue.min_workers),
            detail=f"{len(leaving)} old workers are finishing their tasks." if leaving else "",
            started_at=moment(max(started)) if started else None,
            memory_bytes=sum(facts.memory.get(name, 0) for name in names) or None,
            cpu_millis=_sum_if_known(facts.cpu, names),
            restarts=facts.restarts.get(f"worker {queue.name}", 0),
        )

    def _old_workers(self, queue: WantedQueue, facts: Facts) -> list[str]:
        return [
            name
            for name, program in facts.programs.items()
            if status_name(self.folder.ref, name) == f"worker {queue.name}"
            and (name not in queue.programs or program.state == "STOPPING")
        ]

    def _is_drifted(self, state: State, wanted: Wanted, facts: Facts) -> bool:
        is_stopped = any(
            name not in facts.programs or facts.programs[name].state in {"STOPPED", "EXITED"}
            for name in wanted.core
        )
        return is_stopped or code.current_digest(self.folder) != state.code_digest


def _sum_if_known(cpu: Mapping[str, int], names: Sequence[str]) -> int | None:
    known = [cpu[name] for name in names if name in cpu]
    return sum(known) if known else None


def _nothing() -> Observation:
    return Observation(
        observed_at=datetime.now(UTC),
        exists=False,
        applied_revision=0,
        health="stopped",
        message="Nothing of this Deployment is on this machine.",
    )


def _queues(
    wanted: Wanted, components: tuple[ComponentStatus, ...]
) -> list[tuple[WantedQueue, ComponentStatus]]:
    by_name = {status.name: status for status in components}
    return [(queue, by_name[f"worker {queue.name}"]) for queue in wanted.queues]


def _queue(queue: WantedQueue, status: ComponentStatus, facts: Facts) -> QueueStatus:
    queued, running = (facts.tasks or {}).get(queue.name, (0, 0))
    return QueueStatus(
        name=queue.name,
        workers_ready=status.ready,
        workers_wanted=status.wanted,
        tasks_queued=queued,
        tasks_running=running,
    )
