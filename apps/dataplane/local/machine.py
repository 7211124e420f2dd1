"""Keep the processes of a home running: one supervisord, what it supervises, what must come back.

    wanted      services, keeper, edge, Airflow     web, worker, beat
    portal      run                                 run
    deployments run                                 stopped
    nothing     stopped                             stopped

The launcher moves `wanted`. Both the launcher and the keeper call `heal` every two seconds, so the
machine also heals while nobody looks. Whoever starts a new supervisord ends the orphans of the old
one first.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.local import leftovers
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private
from apps.dataplane.local.supervisor import MARK_HOME, MARK_PROGRAM, Supervisor

Wanted = Literal["portal", "deployments", "nothing"]

PORTAL_PROGRAMS = ("web", "worker", "beat")
START_SECONDS = 20.0
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
        """What should run; `portal` until somebody said otherwise."""
        try:
            text = (self.home.run / "wanted").read_text()
        except FileNotFoundError:
            return "portal"
        return (
            "nothing" if text == "nothing" else "deployments" if text == "deployments" else "portal"
        )

    def want(self, wanted: Wanted) -> None:
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
            leftovers.end_leftovers(self.home)
            self._remove_stale_files()
            self._start_supervisord()
        return True

    def end_orphans(self) -> None:
        """End what a lost supervisord left, so that ports and files are free; not beside a live
        one.
        """
        with self._lock():
            if not self._answers_in_time():
                leftovers.end_leftovers(self.home)
                self._remove_stale_files()

    def apply_programs(self, *, seconds: float = 60) -> None:
        """Make supervisord take over the programs' files, waiting for changed ones to stop."""
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
        """Put right what fell over; return a sentence for each thing done.

        Raises as `ensure_running`.
        """
        if self.ensure_running():
            return ["supervisord had ended and was started again."]
        leftovers.forget_ended(self.home)
        return [f"{name} had ended and was started again." for name in self.revive_fatal()]

    def revive_fatal(self) -> list[str]:
        """Start programs that supervisord gave up, with growing pauses; return their names."""
        wanted = self.wanted
        if wanted == "nothing":
            return []
        revived = []
        for name, state in self.supervisor.states().items():
            is_missing = name in PORTAL_PROGRAMS and state.state in {"STOPPED", "EXITED"}
            if name in PORTAL_PROGRAMS and wanted != "portal":
                continue
            if state.state == "RUNNING":
                self._revivals.pop(name, None)
            elif (is_missing or state.state == "FATAL") and self._is_due(name, at_once=is_missing):
                self._start(name)
                revived.append(name)
        return revived

    def stop_portal(self, *, seconds: float = 30) -> None:
        """Stop web, worker and beat warmly; Deployments go on."""
        self.want("deployments")
        self._stop_programs(list(PORTAL_PROGRAMS), seconds)

    def stop_all(
        self, *, worker_seconds: float = 60, say: Callable[[str], None] = lambda sentence: None
    ) -> None:
        """Stop everything of the home in order; `say` hears what is waited for.

        Airflow workers get `worker_seconds` to finish their tasks before their processes are
        killed.
        """
        self.want("nothing")
        with self._lock():
            if self.supervisor.is_answering():
                self._stop_programs(["keeper", *PORTAL_PROGRAMS], 30)
                self._stop_airflow(worker_seconds, say)
                self._stop_supervisord()
            leftovers.end_leftovers(self.home, with_workers=True)
            self._remove_stale_files()

    def _stop_airflow(self, worker_seconds: float, say: Callable[[str], None]) -> None:
        airflow = [
            name for name, state in self.supervisor.states().items() if "--" in name and state.pid
        ]
        workers = [name for name in airflow if leftovers.WORKER.fullmatch(name)]
        if workers:
            say(
                f"Waiting up to {worker_seconds:.0f} s for tasks "
                f"of {len(workers)} Airflow workers to end."
            )
        self._stop_programs(workers, worker_seconds)
        others = [name for name in airflow if name not in workers]
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
                leftovers.kill_programs(self.home, remaining)
                return
            time.sleep(0.1)

    def _stop_supervisord(self) -> None:
        self.supervisor.shutdown()
        deadline = time.monotonic() + 60
        while leftovers.is_supervisord_alive(self.home) and time.monotonic() < deadline:
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
            return  # it ended again at once, or supervisord did: the next round sees which

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
            if not leftovers.is_supervisord_alive(self.home) or time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _remove_stale_files(self) -> None:
        self.supervisor.socket_path.unlink(missing_ok=True)
        # After a reboot the number in it may belong to any process, and PostgreSQL would refuse to
        # start.
        (self.home.postgres / "postmaster.pid").unlink(missing_ok=True)

    def _start_supervisord(self) -> None:
        self._prepare_socket_folder()
        configuration = self.home.path / "supervisord.conf"
        write_private(configuration, self._configuration())
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            MARK_HOME: str(self.home.path),
            MARK_PROGRAM: leftovers.SUPERVISORD,
        }
        # It goes into the background by itself, when its socket is open.
        result = subprocess.run(
            [sys.executable, "-I", "-m", "supervisor.supervisord", "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home.path,
            env=environment,
            timeout=START_SECONDS,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.supervisor.is_answering():
            if result.returncode or time.monotonic() > deadline:
                said = tuple(result.stdout.splitlines()[-10:])
                raise Permanent("supervisord does not start.", component="supervisord", log=said)
            time.sleep(0.05)

    def _configuration(self) -> str:
        def escaped(value: object) -> str:
            return str(value).replace("%", "%%")

        lines = [
            "[unix_http_server]",
            f"file={escaped(self.supervisor.socket_path)}",
            "chmod=0700",
            "[supervisord]",
            f"logfile={escaped(self.home.logs / 'supervisord.log')}",
            "logfile_maxbytes=5MB",
            "logfile_backups=2",
            f"pidfile={escaped(self.home.run / 'supervisord.pid')}",
            f"childlogdir={escaped(self.home.logs)}",
            "nocleanup=true",
            "umask=077",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[include]",
            # Relative to this file: the list is split at blanks, and a home may have one in its
            # name.
            "files=programs/*.conf",
        ]
        return "\n".join(lines) + "\n"

    def _prepare_socket_folder(self) -> None:
        folder = self.supervisor.socket_path.parent
        if folder == self.home.run:
            return
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if folder.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise Permanent(
                f"The folder {folder} belongs to somebody else. Set PORTAL_HOME to a shorter path."
            )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.home.run / "machine.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
