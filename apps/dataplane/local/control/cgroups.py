"""How much memory the control groups of this process leave it: the limits of a container, a service
of systemd or a slice, in version 1 or 2 of the kernel's interface.

A limit of any group above holds too. What a group uses counts the files that the kernel keeps at
hand and drops when memory is needed; those are no reason to refuse anything.
Source: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Names:
    """The files of one version, and the amounts of files kept at hand in its `memory.stat`."""

    limit: str
    usage: str
    cache: tuple[str, ...]


V2 = _Names("memory.max", "memory.current", ("inactive_file", "active_file"))
V1 = _Names(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    # With `total_`: of the groups below as well, as the usage is.
    ("total_inactive_file", "total_active_file"),
)


def available_bytes(*, root: Path, own: Path) -> int | None:
    """Return what the tightest group leaves, or None where no group sets a limit.

    `root` is where control groups are mounted, `own` the file that names the groups of the process.
    """
    left = [_left(group, names) for group, names in _groups(root, own)]
    return min((one for one in left if one is not None), default=None)


def limit_bytes(*, root: Path, own: Path) -> int | None:
    """Return the tightest limit of a group, or None where no group sets one."""
    limits = [_limit(group, names) for group, names in _groups(root, own)]
    return min((one for one in limits if one is not None), default=None)


def _groups(root: Path, own: Path) -> Iterator[tuple[Path, _Names]]:
    """Find the groups of this process that may limit memory, each with all above it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines or ["0::/"]:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield from _upwards(root / "memory", path, V1)
        elif not controllers:
            yield from _upwards(root, path, V2)


def _upwards(mount: Path, path: str, names: _Names) -> Iterator[tuple[Path, _Names]]:
    group = mount / path.lstrip("/")
    # A container without a namespace of its own sees the path of the host, but mounts its own group
    # at the root; above that it sees nothing.
    if ".." in group.parts or not group.is_dir():
        group = mount
    while group.is_relative_to(mount):
        yield group, names
        group = group.parent


def _left(group: Path, names: _Names) -> int | None:
    """Return what one group leaves, never less than nothing; None without a limit."""
    limit = _limit(group, names)
    if limit is None:
        return None
    try:
        usage = int((group / names.usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    cache = sum(int(stat.get(name, 0)) for name in names.cache)
    return max(0, limit - max(0, usage - cache))


def _limit(group: Path, names: _Names) -> int | None:
    try:
        limit = (group / names.limit).read_text().strip()
    except OSError:
        return None
    return int(limit) if limit.isdigit() else None
