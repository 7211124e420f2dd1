"""Start the supervisord of a home in the background."""

import os
import subprocess
import sys
import time

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.cleanup import SUPERVISORD
from apps.dataplane.local.machine.supervisor import MARK_HOME, MARK_PROGRAM, Supervisor
from apps.dataplane.local.private_files import write_private

START_SECONDS = 30.0


def start_supervisord(home: Home) -> None:
    """Start it and wait until it answers. Raises Permanent with its output if it does not."""
    supervisor = Supervisor(home)
    _prepare_socket_folder(home, supervisor)
    configuration = home.path / "supervisord.conf"
    write_private(configuration, _configuration(home, supervisor))
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",  # `control.restarts` reads the times in its log
        MARK_HOME: str(home.path),
        MARK_PROGRAM: SUPERVISORD,
    }
    # The command ends when its socket is open and the process went into the background.
    result = subprocess.run(
        [sys.executable, "-I", "-m", "supervisor.supervisord", "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=home.path,
        env=environment,
    )
    deadline = time.monotonic() + START_SECONDS
    while not supervisor.is_answering():
        if result.returncode or time.monotonic() > deadline:
            said = tuple(result.stdout.splitlines()[-10:])
            raise Permanent("supervisord does not start.", component=SUPERVISORD, log=said)
        time.sleep(0.05)


def _configuration(home: Home, supervisor: Supervisor) -> str:
    def escaped(value: object) -> str:
        return str(value).replace("%", "%%")

    lines = [
        "[unix_http_server]",
        f"file={escaped(supervisor.socket_path)}",
        "chmod=0700",
        "[supervisord]",
        f"logfile={escaped(home.logs / 'supervisord.log')}",
        "logfile_maxbytes=5MB",
        "logfile_backups=2",
        f"pidfile={escaped(home.run / 'supervisord.pid')}",
        f"childlogdir={escaped(home.logs)}",
        "nocleanup=true",
        "umask=077",
        *(["user=root"] if os.geteuid() == 0 else []),
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "[include]",
        # Relative to this file: the list is split at blanks, and a home may have one in its name.
        "files=programs/*.conf",
    ]
    return "\n".join(lines) + "\n"


def _prepare_socket_folder(home: Home, supervisor: Supervisor) -> None:
    folder = supervisor.socket_path.parent
    if folder == home.run:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Permanent(
            f"The folder {folder} belongs to another user. Set PORTAL_HOME to a shorter path."
        )
