"""Become a program of PostgreSQL that ends with the portal's process: `python server_program.py
<user or -> <pid of the process that starts it> command…`.

Of the standard library only, and run without our packages and our environment.
"""

import ctypes
import os
import pwd
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def main() -> None:
    """Change to the user, then become the command."""
    user, parent, *command = sys.argv[1:]
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if user != "-":
        account = pwd.getpwnam(user)
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":
        # After the change of the user, which would undo it. QUIT ends sessions, too, at once.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execve(command[0], command, ENVIRONMENT)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
