"""`python -m astro_portal.launcher run|stop|status`: the portal of one home on this machine.

`run` prepares what is missing, starts everything and stays in the foreground to restart what fails.
Ctrl-C stops the portal and leaves Airflow running; `stop` stops all.
"""

import argparse
import fcntl
import importlib
import itertools
import shutil
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from urllib.parse import urlsplit

import psutil
import psycopg

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine import embedded_databases
from apps.dataplane.local.machine.machine import CONNECT, PORTAL_PROGRAMS, Machine
from apps.dataplane.local.machine.ports import choose_ports, portal_listener
from apps.dataplane.local.machine.programs import postgres_program, valkey_program
from astro_portal.env import ConfigurationError, env_int, env_str
from astro_portal.keys import make_missing_keys
from astro_portal.portal_programs import (
    companion_programs,
    connect_program,
    portal_programs,
)
from astro_portal.preparation import (
    Command,
    has_kubernetes,
    migrate_if_needed,
    start_collecting_static,
)

HEAL_SECONDS = 2.0
# How many rounds of healing pass between two checks for a first cluster.
CONNECT_ROUNDS = 5
READY_SECONDS = 90.0
FREE_DISK_MIB = 500
FREE_MEMORY_MIB = 1000
LISTENER_OF_PROGRAM = {"postgres": "postgres", "valkey": "valkey", "web": "portal", "edge": "edge"}


class Launcher:
    """One run of the launcher. Messages go to standard output with the seconds since its start."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.machine = Machine(home)
        self.began_at = time.monotonic()
        self.is_asked_to_stop = threading.Event()

    def say(self, message: str) -> None:
        print(f"[{time.monotonic() - self.began_at:5.1f} s] {message}", flush=True)

    def run(self) -> int:
        port, edge_port = _port("PORTAL_PORT"), _port("PORTAL_EDGE_PORT")
        self._prepare_home()
        with self._only_one() as is_first:
            if not is_first:
                return self._follow()
            self._handle_signals()
            try:
                self._start(port, edge_port)
                self._present()
            except BaseException:
                self._give_up()
                raise
            return self._stay()

    def stop(self) -> int:
        if not self.home.run.is_dir():
            print(f"Nothing runs: {self.home.path} was never used.")
            return 0
        seconds = env_int("PORTAL_STOP_SECONDS", 60, minimum=0)
        self.machine.stop_all(worker_seconds=seconds, say=self.say)
        self.say("Everything is stopped. Data are kept in " + str(self.home.path))
        return 0

    def status(self) -> int:
        try:
            states = self.machine.supervisor.states()
        except Temporary:
            print("The portal is not running.")
            return 3
        for name, state in sorted(states.items()):
            print(f"{name:40} {state.state:10} {state.description}")
        is_up = all(name in states and states[name].is_up for name in PORTAL_PROGRAMS)
        print(
            f"The portal is at {self._url()}"
            if is_up
            else "The portal is stopped; Deployments go on."
        )
        return 0 if is_up else 3

    def _prepare_home(self) -> None:
        embedded_databases.prepare_home(self.home, has_postgres=not env_str("DATABASE_URL", ""))
        free = shutil.disk_usage(self.home.path).free // 2**20
        if free < FREE_DISK_MIB:
            raise Permanent(
                f"The disk of {self.home.path} is nearly full: {free} MiB are free, "
                f"{FREE_DISK_MIB} are needed."
            )
        available = psutil.virtual_memory().available // 2**20
        if available < FREE_MEMORY_MIB:
            self.say(
                f"Only {available} MiB of memory are free. The portal needs about 470, "
                "a Deployment about 1200."
            )

    def _start(self, port: int, edge_port: int) -> None:
        self.machine.want("portal")
        self.machine.end_orphans()
        host = env_str("PORTAL_HOST", "127.0.0.1")
        choose_ports(
            self.home,
            wanted={
                name: number for name, number in (("portal", port), ("edge", edge_port)) if number
            },
            hosts={"portal": host, "edge": env_str("PORTAL_EDGE_HOST", host)},
            ours=self._own_listeners(),
        )
        make_missing_keys(self.home)
        importlib.import_module(
            "astro_portal.settings"
        )  # it raises ConfigurationError for a wrong setting
        static = start_collecting_static(self.home)
        self._start_services()
        if migrate_if_needed(self.home, self._database_url()):
            self.say("The database is up to date.")
        key_check = Command(self.home, "check_keys")
        if static:
            static.wait()
            self.say("The static files are collected.")
        self._write_programs(host)
        self.machine.apply_programs()
        key_check.wait()
        for name in (*PORTAL_PROGRAMS, "keeper", "edge"):
            self.machine.supervisor.start(name)
        self._connect_clusters(is_start=True)

    def _start_services(self) -> None:
        if not env_str("DATABASE_URL", ""):
            if not (self.home.postgres / "PG_VERSION").exists():
                self.say("Creating the database.")
            embedded_databases.init_postgres(self.home)
            self.machine.supervisor.write(postgres_program(self.home))
        if not env_str("REDIS_URL", ""):
            self.machine.supervisor.write(valkey_program(self.home))
        self.machine.ensure_running()
        self.machine.apply_programs()
        self._wait_for_database()
        self.say("PostgreSQL and Valkey are ready.")

    def _write_programs(self, host: str) -> None:
        port = embedded_databases.portal_port(self.home)
        self.machine.supervisor.remove("beat")  # a process of earlier versions
        for program in (
            *portal_programs(self.home, host=host, port=port),
            *companion_programs(self.home),
        ):
            self.machine.supervisor.write(program)

    def _connect_clusters(self, *, is_start: bool = False) -> None:
        """Start the process for Kubernetes clusters with the first one, stop it with the last."""
        try:
            is_wanted = has_kubernetes(self._database_url())
        except psycopg.Error:
            return  # retried in the next round
        supervisor = self.machine.supervisor
        state = supervisor.states(CONNECT).get(CONNECT)
        if is_wanted and (is_start or state is None):
            supervisor.write(connect_program(self.home))
            self.machine.apply_programs()
            supervisor.start(CONNECT)
            self.say("The clusters are watched, and their Airflows can be opened.")
        elif not is_wanted and state is not None:
            supervisor.remove(CONNECT)
            self.machine.apply_programs()

    def _wait_for_database(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._database_url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or env_str("DATABASE_URL", ""):
                    reason = str(error).strip().splitlines()[-1]
                    raise Permanent(f"PostgreSQL does not answer: {reason}") from error
                self._wait(0.1)
            else:
                return

    def _wait_for_web(self) -> None:
        self.say("Starting the web server and the workers.")
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_web_ready():
            state = self.machine.supervisor.states("web").get("web")
            if time.monotonic() > deadline or (state and state.state == "FATAL"):
                log = (self.home.logs / "web.log").read_text(errors="replace").splitlines()[-15:]
                raise Permanent("The web server does not start.", component="web", log=tuple(log))
            self._wait(0.1)

    def _is_web_ready(self) -> bool:
        host = env_str("PORTAL_HOST", "127.0.0.1")
        url = f"http://{portal_listener(self.home, host=host)}/healthz"
        # The one host name that is always allowed, whatever PORTAL_ALLOWED_HOSTS is.
        request = urllib.request.Request(url, headers={"Host": urlsplit(self._url()).netloc})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - our own address
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _present(self) -> None:
        """Wait until the portal answers; print its address and the output of `signin_link`."""
        command = Command(self.home, "signin_link")
        self._wait_for_web()
        self.say(f"Astro Portal is ready: {self._url()}")
        if link := command.wait().strip():
            print(f"\n{link}\n", flush=True)

    def _stay(self) -> int:
        self.say("Press Ctrl-C to stop the portal; Deployments go on then.")
        for number in itertools.count(1):
            if self.is_asked_to_stop.wait(HEAL_SECONDS):
                break
            if self.machine.wanted == "nothing":
                self.say("Everything was stopped by `make stop`.")
                return 0
            try:
                for message in self.machine.heal():
                    self.say(message)
                if number % CONNECT_ROUNDS == 0:
                    self._connect_clusters()
            except DataPlaneError as error:
                self.say(error.message)
        self.say("Stopping the portal.")
        self.machine.stop_portal()
        self.say("The portal is stopped. Deployments go on; `make stop` stops them too.")
        return 0

    def _follow(self) -> int:
        """Follow the launcher that runs already, until it ends."""
        self._handle_signals()
        self.say(f"The portal runs already: {self._url()}")
        self.say("Press Ctrl-C to leave it running; press it where it was started to stop it.")
        while not self.is_asked_to_stop.wait(HEAL_SECONDS):
            if self.machine.wanted != "portal":
                self.say("The portal was stopped.")
                break
        return 0

    def _give_up(self) -> None:
        """After a failed start, stop the portal's processes and leave Airflow as it was."""
        self.machine.want("deployments")
        if self.machine.supervisor.is_answering():
            self.machine.stop_portal()

    def _own_listeners(self) -> frozenset[str]:
        try:
            states = self.machine.supervisor.states()
        except Temporary:
            return frozenset()
        return frozenset(
            listener
            for name, listener in LISTENER_OF_PROGRAM.items()
            if name in states and states[name].pid
        )

    def _database_url(self) -> str:
        return env_str("DATABASE_URL", "") or embedded_databases.database_url(self.home)

    def _url(self) -> str:
        return env_str(
            "PORTAL_URL", f"http://localhost:{embedded_databases.portal_port(self.home)}"
        )

    def _wait(self, seconds: float) -> None:
        if self.is_asked_to_stop.wait(seconds):
            raise KeyboardInterrupt

    def _handle_signals(self) -> None:
        def ask(number: int, frame: FrameType | None) -> None:
            self.is_asked_to_stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, ask)

    @contextmanager
    def _only_one(self) -> Iterator[bool]:
        with (self.home.run / "launcher.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _port(name: str) -> int:
    return env_int(name, 0, minimum=1, maximum=65535)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m astro_portal.launcher", description=__doc__)
    parser.add_argument("action", choices=["run", "stop", "status"])
    action = parser.parse_args().action
    launcher = Launcher(Home.from_environment())
    try:
        return {"run": launcher.run, "stop": launcher.stop, "status": launcher.status}[action]()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except DataPlaneError as error:
        if launcher.is_asked_to_stop.is_set():
            print("Interrupted.", file=sys.stderr)
            return 130
        print(error.message, *error.log, sep="\n  ", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
