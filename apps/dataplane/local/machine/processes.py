"""What the operating system knows of a program: its memory, and what its workers are doing."""

import time
from dataclasses import dataclass, field

import psutil

# CPU of a longer time says nothing about now.
LONGEST_SECONDS, SHORTEST_SECONDS = 600.0, 1.0


@dataclass(frozen=True, kw_only=True)
class TreeUsage:
    """What a process and its children use: memory they share is counted once, where known, and
    children that have ended count for CPU.
    """

    memory_bytes: int
    cpu_seconds: float


def tree_usage(pid: int) -> TreeUsage:
    """Return what a process and its children use; nothing for one that has ended."""
    memory_bytes, cpu_seconds = 0, 0.0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        processes = []
    for process in processes:
        try:
            memory = process.memory_full_info()
            cpu_seconds += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue
        memory_bytes += getattr(memory, "pss", memory.rss)
    return TreeUsage(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)


@dataclass
class CpuMeter:
    """Turns CPU seconds into thousandths of a core, between two looks of this process."""

    known: dict[int, tuple[float, float]] = field(default_factory=dict)

    def millis(self, pid: int, usage: TreeUsage, *, now: float | None = None) -> int | None:
        """Return the CPU since the last look, None for the first one and after a long time."""
        now = time.monotonic() if now is None else now
        if len(self.known) > 1000:
            self.known.clear()
        before = self.known.get(pid)
        if before is not None and now - before[0] < SHORTEST_SECONDS:
            return None
        self.known[pid] = (now, usage.cpu_seconds)
        if before is None or now - before[0] > LONGEST_SECONDS:
            return None
        used = max(0.0, usage.cpu_seconds - before[1])
        return round(1000 * used / (now - before[0]))


def is_worker_ready(pid: int) -> bool:
    """Return whether a Celery worker has come up: its pool of children is there."""
    try:
        return bool(pid) and bool(psutil.Process(pid).children())
    except psutil.Error:
        return False


def running_task_count(pid: int) -> int:
    """Return how many tasks a Celery worker runs: every one is a child of one of its pool
    processes.

    A task that is about to begin, or has just ended, has no such child: its worker counts as idle
    for that moment. Stopping it then is still safe, because a worker finishes what it has taken.
    """
    try:
        pool = psutil.Process(pid).children()
    except (psutil.Error, ValueError):
        return 0
    task_count = 0
    for process in pool:
        try:
            task_count += len(process.children())
        except psutil.Error:
            continue
    return task_count
