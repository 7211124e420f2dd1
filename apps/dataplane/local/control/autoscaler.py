"""The keeper: keeps this machine's processes up and gives every queue the workers it needs.

A program of its own under supervisord, without Django and without the portal's database: pipelines
scale while the portal is away. Run as `python -m apps.dataplane.local.control.autoscaler`.

The formula is that of KEDA's scaler in the official Airflow chart: ceil((queued + running) /
concurrency), between the queue's minimum and maximum. Up at once; down one cooldown after the last
moment that more were needed, workers without tasks first. A stopping worker finishes its tasks.
While a Deployment hibernates nothing of it runs, by a plan that the keeper reads itself.
"""

import logging
import math
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType

from apps.dataplane.errors import DataPlaneError, Temporary
from apps.dataplane.hibernation.turns import is_hibernating
from apps.dataplane.local.airflow import hibernating
from apps.dataplane.local.airflow.logs import log_files
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.metadata.task_counts import QUEUE_COUNTS, TaskCounts, count_tasks
from apps.dataplane.local.airflow.programs import component_of
from apps.dataplane.local.airflow.steps import reload_programs
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.control import scaling_log
from apps.dataplane.local.control.history_cleanup import HistoryCleanup
from apps.dataplane.local.control.hung_schedulers import HungSchedulers
from apps.dataplane.local.home import Home
from apps.dataplane.local.layout import (
    Folder,
    Wanted,
    WantedQueue,
    all_folders,
    read_plan,
    read_state,
    read_wanted,
)
from apps.dataplane.local.machine.machine import Machine
from apps.dataplane.local.machine.processes import is_worker_ready, running_task_count
from apps.dataplane.local.machine.supervisor import ProgramState, Supervisor
from apps.dataplane.local.projects import environments
from apps.dataplane.status import ScalingDecision, ScalingReason

logger = logging.getLogger("keeper")

POLL_SECONDS = 2.0
BETWEEN_CLEANUPS_SECONDS = 900


def workers_wanted(queue: WantedQueue, *, task_count: int) -> int:
    """Return how many workers the queue needs for its queued and running tasks."""
    needed = math.ceil(task_count / queue.concurrency)
    return max(queue.min_workers, min(queue.max_workers, needed))


def settled_reason(queue: WantedQueue, *, task_count: int) -> ScalingReason:
    """Return why as many workers run as are wanted."""
    needed = math.ceil(task_count / queue.concurrency)
    if needed > queue.max_workers:
        return "maximum"
    return "minimum" if needed < queue.min_workers else "steady"


@dataclass
class QueueMemory:
    """When more workers than `wanted` were last needed, by the monotonic clock; which processes
    have come up; and what was noted last.
    """

    needed_at: float = 0.0
    ready_pids: frozenset[int] = frozenset()
    noted: ScalingDecision | None = None


@dataclass
class Autoscaler:
    """Checks every Deployment of the home in turn. A Deployment that fails does not stop the
    others.
    """

    home: Home
    config: LocalConfig
    memory: dict[tuple[str, str], QueueMemory] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)
    cleaned_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.home)
        self.history = HistoryCleanup(self.config)
        self.hung_schedulers = HungSchedulers()

    def look(self, now: float) -> None:
        """Do one round for all Deployments."""
        states = self.supervisor.states()
        for folder in all_folders(self.home):
            try:
                self._look_at(folder, states, now)
                self.complaints.pop(folder.ref, None)
            except (DataPlaneError, OSError, ValueError, KeyError, TypeError) as error:
                self._complain(folder.ref, error)
        self.hung_schedulers.end(states, now)
        self._remove_finished(states)
        self._remove_environments(now)

    def _look_at(self, folder: Folder, states: Mapping[str, ProgramState], now: float) -> None:
        wanted, plan = read_wanted(folder), read_plan(folder)
        self._remove_old_logs(folder, now)
        if is_hibernating(plan, at := datetime.now(UTC)):
            hibernating.stop(folder, plan, supervisor=self.supervisor, now=at)
            return
        self._start_core(wanted, states)
        self.history.step(folder, wanted, now=time.time())
        if not wanted.queues:
            return
        log_files.shorten(folder)
        counts = self._count(folder)
        for queue in wanted.queues:
            tasks = counts.get(queue.name, (0, 0))
            self._scale(folder, queue, tasks, states, now)

    def _remove_old_logs(self, folder: Folder, now: float) -> None:
        if now - self.cleaned_at.get(folder.ref, -math.inf) < BETWEEN_CLEANUPS_SECONDS:
            return
        self.cleaned_at[folder.ref] = now
        log_files.remove_old(
            folder,
            now=time.time(),
            task_log_days=self.config.task_log_days,
            parse_log_hours=self.config.parse_log_hours,
        )

    def _remove_environments(self, now: float) -> None:
        if now - self.cleaned_at.get("", -math.inf) < BETWEEN_CLEANUPS_SECONDS:
            return
        self.cleaned_at[""] = now
        for name in environments.remove_unused(self.home, now=time.time()):
            logger.info("%s: removed, not used for a week", name)

    def _start_core(self, wanted: Wanted, states: Mapping[str, ProgramState]) -> None:
        """Start what is stopped but should run: after a restart of supervisord or the machine."""
        stopped = [
            name
            for name in wanted.core
            if name in states and states[name].state in {"STOPPED", "EXITED"}
        ]
        if not stopped:
            return
        # It may have stopped to be replaced while supervisord still has the old definition. Started
        # with that, it would have to be stopped again, and an edit would never complete.
        reload_programs(self.supervisor)
        for name in stopped:
            self.supervisor.start(name)

    def _count(self, folder: Folder) -> TaskCounts:
        state = read_state(folder)
        if state is None:
            return {}
        with database.deployment_connection(self.config, folder, state) as connection:
            return count_tasks(connection.execute(QUEUE_COUNTS).fetchall())

    def _scale(
        self,
        folder: Folder,
        queue: WantedQueue,
        tasks: tuple[int, int],
        states: Mapping[str, ProgramState],
        now: float,
    ) -> None:
        slots = [states[name] for name in queue.programs if name in states]
        up = [program for program in slots if program.is_up]
        task_count = sum(tasks)
        wanted = workers_wanted(queue, task_count=task_count)
        memory = self.memory.setdefault((folder.ref, queue.name), QueueMemory(needed_at=now))
        if wanted >= len(up):
            memory.needed_at = now
        reason = settled_reason(queue, task_count=task_count)
        if wanted > len(up):
            reason = "up" if self._start_workers(slots, wanted - len(up)) else "no-slot"
        elif wanted < len(up) and now - memory.needed_at >= self.config.scale_down_seconds:
            is_stopping = self._stop_workers(up, len(up) - wanted, task_count=task_count)
            reason = "down" if is_stopping else "busy"
        elif wanted < len(up):
            reason = "cooldown"
        self._note(folder, queue, tasks, up=up, wanted=wanted, reason=reason)

    def _note(
        self,
        folder: Folder,
        queue: WantedQueue,
        tasks: tuple[int, int],
        *,
        up: list[ProgramState],
        wanted: int,
        reason: ScalingReason,
    ) -> None:
        """Write the decision down if it is news. Scaling goes on where that is not possible."""
        memory = self.memory[(folder.ref, queue.name)]
        memory.ready_pids = frozenset(
            program.pid
            for program in up
            if program.pid in memory.ready_pids or is_worker_ready(program.pid)
        )
        decision = ScalingDecision(
            at=datetime.now(UTC),
            queue=queue.name,
            queued=tasks[0],
            running=tasks[1],
            concurrency=queue.concurrency,
            min_workers=queue.min_workers,
            max_workers=queue.max_workers,
            cooldown_seconds=self.config.scale_down_seconds,
            wanted=wanted,
            workers=len(up),
            ready=len(memory.ready_pids),
            reason=reason,
        )
        if not scaling_log.is_news(decision, memory.noted):
            return
        memory.noted = decision
        try:
            scaling_log.append(folder, decision)
        except OSError as error:
            logger.warning("%s: decision not noted: %s", folder.ref, error)

    def _start_workers(self, slots: list[ProgramState], missing: int) -> int:
        """Start workers; return how many."""
        # A slot whose worker still finishes its tasks cannot be started; one that crashed is the
        # machine's.
        free = [program for program in slots if program.state in {"STOPPED", "EXITED"}]
        for program in free[:missing]:
            logger.info("%s: started", program.name)
            self.supervisor.start(program.name)
        return len(free[:missing])

    def _stop_workers(self, up: list[ProgramState], surplus: int, *, task_count: int) -> int:
        """Stop workers without tasks; return how many."""
        stopped = 0
        by_load = sorted(up, key=lambda program: running_task_count(program.pid))
        for program in by_load[:surplus]:
            # Busy ones stay: they would only finish their tasks, while new ones wait.
            if task_count and running_task_count(program.pid):
                continue
            logger.info("%s: stopping", program.name)
            self.supervisor.stop(program.name)
            stopped += 1
        return stopped

    def _remove_finished(self, states: Mapping[str, ProgramState]) -> None:
        """Remove workers without a definition from supervisord, once they have finished their
        tasks.
        """
        written = self.supervisor.written()
        refs = [folder.ref for folder in all_folders(self.home)]
        for name, program in states.items():
            is_ours = any(component_of(ref, name) for ref in refs)
            if is_ours and name not in written and not program.pid:
                reload_programs(self.supervisor)
                return

    def _complain(self, ref: str, error: Exception) -> None:
        """Log a failure once, not every two seconds."""
        text = str(error)
        if self.complaints.get(ref) != text:
            self.complaints[ref] = text
            logger.warning("deployment %s: %s", ref, text)


def main() -> int:
    """Run until stopped, or until a new supervisord has started a successor."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    signal.signal(signal.SIGTERM, _stop)
    home = Home.from_environment()
    machine = Machine(home)
    autoscaler: Autoscaler | None = None
    while True:
        try:
            if machine.ensure_running():
                return 0
            machine.heal()
            autoscaler = autoscaler or Autoscaler(home, LocalConfig.from_environment(home))
            autoscaler.look(time.monotonic())
        except Temporary as error:
            logger.warning("%s", error.message)
        except DataPlaneError as error:
            logger.error("%s", error.message)
            time.sleep(10)
        time.sleep(POLL_SECONDS)


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
