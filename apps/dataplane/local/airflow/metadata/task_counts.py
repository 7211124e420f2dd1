"""Queued and running tasks, from the metadata database."""

TaskCounts = dict[str, tuple[int, int]]

QUEUE_COUNTS = """
    SELECT queue, state, count(*) FROM task_instance
    WHERE state IN ('queued', 'running') GROUP BY queue, state
"""

RUNNING_TASKS = """
    SELECT dag_id, task_id, map_index, count(*) OVER () FROM task_instance
    WHERE state = 'running' ORDER BY start_date LIMIT 3
"""


def name_tasks(rows: list[tuple[object, ...]]) -> str:
    """Turn rows of RUNNING_TASKS into `etl.load, etl.check[3] and 4 more`; empty without a row."""
    if not rows:
        return ""
    names = [
        f"{dag}.{task}" if int(str(index)) < 0 else f"{dag}.{task}[{index}]"
        for dag, task, index, _ in rows
    ]
    others = int(str(rows[0][3])) - len(names)
    return ", ".join(names) + (f" and {others} more" if others else "")


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
