"""Read a program's environment from a private file, change to its user, and become the program.

Standard library only: it runs isolated, before anything of the portal could be imported.
"""

import json
import os
import pwd
import sys
from pathlib import Path


def main() -> None:
    environment_file, user, *command = sys.argv[1:]
    environment = json.loads(Path(environment_file).read_text())
    os.umask(0o077)
    leave_pid(Path(environment_file))
    if user != "-":
        account = pwd.getpwnam(user)
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.execve(command[0], command, environment)  # noqa: S606 - the command comes from our own file


def leave_pid(environment_file: Path) -> None:
    """Write the pid file for `cleanup`: some programs overwrite their environment with a title."""
    pids = environment_file.parent.parent / "run" / "pids"
    pids.mkdir(exist_ok=True)
    (pids / f"{environment_file.stem}.{os.getpid()}").touch()


if __name__ == "__main__":
    main()
