"""Keep the processes of a home running: one supervisord, what it supervises, what must be
restarted.

    wanted      services, keeper, edge, Airflow     web, worker, collect
    portal      run                                 run
    deployments run                                 stopped
    nothing     stopped                             stopped

The launcher moves `wanted`. Both the launcher and the keeper call `heal` every two seconds, so the
machine also heals without a launcher. The process that starts a new supervisord ends the orphans of
the old one first.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, cast, get_args

from apps.dataplane.errors import Temporary
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import cleanup
from apps.dataplane.local.machine.daemon import start_supervisord
from apps.dataplane.local.machine.supervisor import ProgramState, Supervisor
from apps.dataplane.local.private_files import write_private

Wanted = Literal["portal", "deployments", "nothing"]

PORTAL_PROGRAMS = ("web", "worker", "collect")
# Part of the portal, too, if it is there: only a portal with clusters needs it.
CONNECT = "connect"
HANG_SECONDS = 30.0
REVIVE_SECONDS = (5.0, 15.0, 30.0, 60.0, 300.0)


class Machine:
    """The processes of one home. Every method may be called from several processes at once."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.supervisor = Supervisor(home)
        self._revivals: dict[str, tuple[int, float]] = {}

    @property
    def wanted(self) -> Wanted:
        """What should run; `portal` until it is set."""
        try:
            text = (self.home.run / "wanted").read_text()
        except FileNotFoundError:
            return "portal"
        return cast(Wanted, text) if text in get_args(Wanted) else "portal"

    def want(self, wanted: Wanted) -> None:
        """Set what should run."""
        write_private(self.home.run / "wanted", wanted)

    def ensure_running(self) -> bool:
        """Start supervisord if none answers; return whether it was started.

        Does nothing while `wanted` is `nothing`. Programs marked to start with supervisord come up
        by themselves. A caller that is itself a supervised program must exit when this returns
        True: the new supervisord has started its successor. Raises Permanent if supervisord does
        not come up.
        """
        if self._is_off() or self.supervisor.is_answering():
            return False
        with self._lock():
            if self._is_off() or self._answers_in_time():
                return False
            cleanup.end_leftovers(self.home)
            self._remove_stale_files()
            start_supervisord(self.home)
        return True

    def end_orphans(self) -> None:
        """End the orphans of a lost supervisord, so that its ports and files are free."""
        with self._lock():
            if not self._answers_in_time():
                cleanup.end_leftovers(self.home)
                self._remove_stale_files()

    def apply_programs(self, *, seconds: float = 60) -> None:
        """Reload the programs' files into supervisord, waiting for changed ones to stop."""
        deadline = time.monotonic() + seconds
        while True:
            _, changed, removed = self.supervisor.reload()
            if not changed and not removed:
                return
            if time.monotonic() > deadline:
                raise Temporary(
                    f"These programs do not stop: {', '.join(sorted({*changed, *removed}))}."
                )
            time.sleep(0.1)

    def heal(self) -> list[str]:
        """Restart what failed; return a message for each action.

        Raises as `ensure_running`.
        """
        if self.ensure_running():
            return ["supervisord had ended and was started again."]
        cleanup.forget_ended(self.home)
        return [f"{name} had ended and was started again." for name in self.revive_fatal()]

    def revive_fatal(self) -> list[str]:
        """Start programs that supervisord gave up, with growing pauses; return their names.

        The portal's programs are started when they are stopped, too, while the portal is wanted.
        Programs that end by themselves are left alone.
        """
        wanted = self.wanted
        if wanted == "nothing":
            return []
        revived = []
        for name, state in self.supervisor.states().items():
            is_portal = name in (*PORTAL_PROGRAMS, CONNECT)
            if state.state == "RUNNING":
                self._revivals.pop(name, None)
            if is_portal and wanted != "portal":
                continue
            is_missing = is_portal and state.state in {"STOPPED", "EXITED"}
            if (is_missing or self._is_given_up(state)) and self._is_due(name, at_once=is_missing):
                self._start(name)
                revived.append(name)
        return revived

    def stop_portal(self, *, seconds: float = 30) -> None:
        """Stop the portal's programs warmly; Deployments go on."""
        self.want("deployments")
        self._stop_programs([*PORTAL_PROGRAMS, CONNECT], seconds)

    def stop_all(
        self, *, worker_seconds: float = 60, say: Callable[[str], None] = lambda message: None
    ) -> None:
        """Stop everything of the home in order; `say` is called with what is waited for.

        Airflow workers get `worker_seconds` to finish their tasks before their processes are
        killed.
        """
        self.want("nothing")
        with self._lock():
            if self.supervisor.is_answering():
                self._stop_programs(["keeper", *PORTAL_PROGRAMS, CONNECT], 30)
                self._stop_airflow(worker_seconds, say)
                self._stop_supervisord()
            cleanup.end_leftovers(self.home, with_workers=True)
            self._remove_stale_files()

    def _stop_airflow(self, worker_seconds: float, say: Callable[[str], None]) -> None:
        airflow = [
            name for name, state in self.supervisor.states().items() if "--" in name and state.pid
        ]
        # The api-server stays until tasks have reported to it, those of LocalExecutor too.
        with_tasks = [name for name in airflow if cleanup.RUNS_TASKS.fullmatch(name)]
        if with_tasks:
            say(
                f"Waiting up to {worker_seconds:.0f} s for tasks "
                f"of {len(with_tasks)} Airflow workers and schedulers to end."
            )
        self._stop_programs(with_tasks, worker_seconds)
        others = [name for name in airflow if name not in with_tasks]
        if others:
            say(f"Stopping {len(others)} Airflow components.")
        self._stop_programs(others, 30)

    def _stop_programs(self, names: list[str], seconds: float) -> None:
        """Stop the programs and wait; those that are still there after `seconds` are killed."""
        known = self.supervisor.states()
        names = [name for name in names if name in known]
        for name in names:
            self.supervisor.stop(name)
        deadline = time.monotonic() + seconds
        while remaining := [name for name in names if self._pid(name)]:
            if time.monotonic() > deadline:
                cleanup.kill_programs(self.home, remaining)
                return
            time.sleep(0.1)

    def _stop_supervisord(self) -> None:
        self.supervisor.shutdown()
        deadline = time.monotonic() + 60
        while cleanup.is_supervisord_alive(self.home) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _is_off(self) -> bool:
        return self.wanted == "nothing"

    def _pid(self, name: str) -> int:
        state = self.supervisor.states(name).get(name)
        return state.pid if state else 0

    def _start(self, name: str) -> None:
        try:
            self.supervisor.start(name)
        except Temporary:
            return  # it ended again at once, or supervisord did: the next round finds out

    def _is_given_up(self, state: ProgramState) -> bool:
        return state.state == "FATAL" and self.supervisor.is_restarted(state.name)

    def _is_due(self, name: str, *, at_once: bool) -> bool:
        tries, due_at = self._revivals.get(name, (0, 0.0))
        now = time.monotonic()
        if tries == 0 and not at_once:
            self._revivals[name] = (1, now + REVIVE_SECONDS[0])
            return False
        if now < due_at:
            return False
        self._revivals[name] = (
            tries + 1,
            now + REVIVE_SECONDS[min(tries, len(REVIVE_SECONDS) - 1)],
        )
        return True

    def _answers_in_time(self) -> bool:
        """Give a supervisord that is alive, but busy or ending, time to answer or to end."""
        deadline = time.monotonic() + HANG_SECONDS
        while not self.supervisor.is_answering():
            if not cleanup.is_supervisord_alive(self.home) or time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _remove_stale_files(self) -> None:
        self.supervisor.socket_path.unlink(missing_ok=True)
        # After a reboot the number in it may belong to any process, and PostgreSQL would refuse to
        # start.
        (self.home.postgres / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.home.run / "machine.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
