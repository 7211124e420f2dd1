"""What the operating system knows of a program: its memory, and what its workers are doing."""

import psutil


def memory_bytes(pid: int) -> int:
    """Return the memory of a process and its children; what they share is counted once, where
    known.
    """
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(memory, "pss", memory.rss)
    return total


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
