"""Queued and running tasks of every queue, from the metadata database."""

TaskCounts = dict[str, tuple[int, int]]

QUEUE_COUNTS = """
    SELECT queue, state, count(*) FROM task_instance
    WHERE state IN ('queued', 'running') GROUP BY queue, state
"""


def count_tasks(rows: list[tuple[object, ...]]) -> TaskCounts:
    """Turn rows of (queue, state, count) into queue → (queued, running)."""
    counts: TaskCounts = {}
    for queue, state, count in rows:
        queued, running = counts.get(str(queue), (0, 0))
        number = int(str(count))
        counts[str(queue)] = (
            (queued + number, running) if state == "queued" else (queued, running + number)
        )
    return counts
