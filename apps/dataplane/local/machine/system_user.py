"""PostgreSQL refuses to run as root: find or make the system user that runs it then.

For users other than root there is nothing to do, and every function here returns an empty name or
True.
"""

import grp
import os
import pwd
import stat
import subprocess
from pathlib import Path

from apps.dataplane.local.home import Home

SYSTEM_USER = "astro-portal-pg"
FALLBACK_USER = "nobody"


def postgres_account(home: Home) -> str:
    """Name the system user that runs PostgreSQL of this home, making it if needed; empty if not
    root.

    Data that exists decide: its owner stays, even if another user could be made now.
    """
    if os.geteuid() != 0:
        return ""
    if owner := _owner_of(home.postgres):
        return owner
    for _ in range(2):
        try:
            return pwd.getpwnam(SYSTEM_USER).pw_name
        except KeyError:
            _make_system_user()
    return FALLBACK_USER


def account_group_id(account: str) -> int:
    return pwd.getpwnam(account).pw_gid


def give_to(path: Path, account: str) -> None:
    """Make the account the owner of the folder or file itself, not of what is in it."""
    if account:
        user = pwd.getpwnam(account)
        os.chown(path, user.pw_uid, user.pw_gid)


def can_traverse(path: Path, account: str) -> bool:
    """Return whether the account may pass through every folder on the way to `path`."""
    if not account:
        return True
    user = pwd.getpwnam(account)
    groups = {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if account in group.gr_mem)}
    return all(_may_enter(parent.stat(), user.pw_uid, groups) for parent in path.resolve().parents)


def _owner_of(path: Path) -> str:
    """Name the owner of the folder; empty if there is none, or it is root or unknown."""
    try:
        user_id = path.stat().st_uid
        return pwd.getpwuid(user_id).pw_name if user_id else ""
    except (OSError, KeyError):
        return ""


def _may_enter(folder: os.stat_result, user_id: int, groups: set[int]) -> bool:
    if folder.st_uid == user_id:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid in groups:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _make_system_user() -> None:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
    ]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return  # no useradd, or a read-only /etc: the caller takes the fallback
