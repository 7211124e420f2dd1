"""The client of supervisord: write a program's file, reload, start and stop it.

Every program is a group of its own, because supervisord restarts a whole group when one member's
file changes. The environment of a program is never in its file (quoting there loses values with
quotes, percent signs or newlines): `launch.py` reads it from a 0600 JSON file beside it and
replaces itself by the command.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.dataplane.errors import Temporary
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private

LAUNCHER = Path(__file__).with_name("launch.py")
MARK_HOME = "ASTRO_PORTAL_PROCESS_HOME"
MARK_PROGRAM = "ASTRO_PORTAL_PROGRAM"
MAX_SOCKET_PATH_BYTES = 100
RUNNING_STATES = frozenset({"RUNNING", "STARTING", "BACKOFF"})


@dataclass(frozen=True, kw_only=True)
class Program:
    """One supervised process.

    `name` is unique in the home; names of one Deployment begin with `<ref>--`.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    log_file: Path
    is_started_with_supervisord: bool = False
    is_restarted: bool = True
    start_seconds: int = 5
    start_retries: int = 10
    stop_signal: str = "TERM"
    stop_wait_seconds: int = 30
    stops_whole_group: bool = True
    priority: int = 500
    # The launcher changes to this user, not supervisord: it must read the environment file before
    # that.
    user: str = ""


@dataclass(frozen=True, kw_only=True)
class ProgramState:
    """What supervisord reports of a program; `state` is its own word (RUNNING, STARTING, BACKOFF,
    FATAL …).
    """

    name: str
    state: str
    pid: int
    started_at: int
    stopped_at: int
    exit_status: int
    description: str

    @property
    def is_up(self) -> bool:
        """Whether the program runs or is starting."""
        return self.state in RUNNING_STATES


class Supervisor:
    """A client of the home's supervisord. Raises `Temporary` when supervisord does not answer."""

    def __init__(self, home: Home) -> None:
        self.home = home

    @property
    def socket_path(self) -> Path:
        """The socket: in the home, unless that path is too long for one (104 bytes on macOS)."""
        usual = self.home.run / "supervisor.sock"
        if len(os.fsencode(usual)) < MAX_SOCKET_PATH_BYTES:
            return usual
        digest = hashlib.sha256(os.fsencode(self.home.path)).hexdigest()[:16]
        return Path(f"/tmp/astro-portal-{os.geteuid()}-{digest}/supervisor.sock")  # noqa: S108 - checked by Machine

    def is_answering(self) -> bool:
        """Return whether supervisord answers."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except Temporary:
            return False

    def states(self, prefix: str = "") -> dict[str, ProgramState]:
        """Return the states of all programs whose name begins with `prefix`, by name."""
        return {
            info["name"]: ProgramState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started_at=info["start"],
                stopped_at=info["stop"],
                exit_status=info["exitstatus"],
                description=info["description"],
            )
            for info in self._call("getAllProcessInfo")
            if info["name"].startswith(prefix)
        }

    def write(self, program: Program) -> bool:
        """Write the program's files; return whether they changed. Takes effect with `reload`."""
        environment = {
            **program.environment,
            MARK_HOME: str(self.home.path),
            MARK_PROGRAM: program.name,
        }
        environment_text = json.dumps(environment, sort_keys=True)
        digest = hashlib.sha256(environment_text.encode()).hexdigest()[:16]
        environment_file = self.home.programs / f"{program.name}.json"
        text = self._section(program, environment_file, digest)
        changed = write_private(environment_file, environment_text)
        return write_private(self._file(program.name), text) or changed

    def remove(self, name: str) -> None:
        """Remove the program's files. Takes effect with `reload`, which stops it first."""
        self._file(name).unlink(missing_ok=True)
        (self.home.programs / f"{name}.json").unlink(missing_ok=True)

    def written(self, prefix: str = "") -> set[str]:
        """Name the programs that have files."""
        return {path.stem for path in self.home.programs.glob(f"{prefix}*.conf")}

    def is_restarted(self, name: str) -> bool:
        """Return whether the program is one that runs on, not one that ends by itself."""
        try:
            return "\nautorestart=true\n" in self._file(name).read_text()
        except FileNotFoundError:
            return False

    def reload(self) -> tuple[set[str], set[str], set[str]]:
        """Make supervisord agree with the files: (added, changed, removed), by name.

        Changed and removed programs are stopped, and this returns at once: a program that is still
        stopping keeps its old definition, and the next `reload` replaces it. Nothing is started.
        """
        ((added, changed, removed),) = self._call("reloadConfig")
        for name in [*changed, *removed]:
            self.stop(name)
        states = self.states()
        stopped = {
            name for name, state in states.items() if not state.is_up and state.state != "STOPPING"
        }
        # One that came up again since is still running (91).
        gone = {
            name
            for name in [*changed, *removed]
            if name in stopped and self._call("removeProcessGroup", name, ignore=(91,))
        }
        for name in [*added, *(name for name in changed if name in gone)]:
            self._call("addProcessGroup", name)
        return set(added), set(changed), set(removed)

    def start(self, name: str) -> None:
        """Start the program without waiting for it; nothing happens if it is up."""
        self._call("startProcess", name, False, ignore=(60,))

    def stop(self, name: str) -> None:
        """Send the stop signal without waiting; nothing happens if it is not up."""
        self._call("stopProcess", name, False, ignore=(70, 10))

    def shutdown(self) -> None:
        """Stop every program, wait for each, and end supervisord. Returns at once."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any, ignore: tuple[int, ...] = ()) -> Any:
        # Settings import this module, and XML-RPC is a MB: only who calls has it.
        from apps.dataplane.local.machine import unix_rpc  # noqa: PLC0415 - see above

        return unix_rpc.call(self.socket_path, method, arguments, ignore=ignore)

    def _file(self, name: str) -> Path:
        return self.home.programs / f"{name}.conf"

    def _section(self, program: Program, environment_file: Path, digest: str) -> str:
        command = [sys.executable, "-IS", str(LAUNCHER), str(environment_file), program.user or "-"]
        command += program.command
        lines = [
            f"[program:{program.name}]",
            f"command={' '.join(_quoted(part) for part in command)}",
            f'environment=ASTRO_PORTAL_ENVIRONMENT_DIGEST="{digest}"',
            f"directory={_escaped(str(program.directory))}",
            f"autostart={str(program.is_started_with_supervisord).lower()}",
            f"autorestart={str(program.is_restarted).lower()}",
            f"startsecs={program.start_seconds}",
            f"startretries={program.start_retries}",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={program.stop_wait_seconds}",
            f"stopasgroup={str(program.stops_whole_group).lower()}",
            "killasgroup=true",
            "redirect_stderr=true",
            # supervisord expands this one twice.
            f"stdout_logfile={_escaped(_escaped(str(program.log_file)))}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
            f"priority={program.priority}",
        ]
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("%", "%%")


def _quoted(part: str) -> str:
    escaped = _escaped(part).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
