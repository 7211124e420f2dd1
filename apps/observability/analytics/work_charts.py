"""Charts of what an Airflow does: runs, tasks, their durations, queues. Pure."""

from collections.abc import Sequence

from apps.dataplane.spec import WorkerQueue
from apps.observability.analytics.drawing import (
    Chart,
    Drawn,
    Found,
    Section,
    drawn_as,
    highest,
    make_chart,
    newest,
    newest_count,
    scaled_to,
    seconds_text,
    section_of,
)
from apps.observability.history.queries import Line

SLOTS_NOTE = "Where the colored area rises above the line, tasks wait for a worker."


def runs_chart(found: Found) -> Chart | None:
    return _results(
        found,
        key="runs",
        title="DAG runs",
        one="DAG run",
        shown=(
            ("runs_succeeded", "Succeeded", "good"),
            ("runs_failed", "Failed", "bad"),
        ),
    )


def tasks_chart(found: Found) -> Chart | None:
    return _results(
        found,
        key="tasks",
        title="Task instances",
        one="task instance",
        shown=(
            ("tasks_succeeded", "Succeeded", "good"),
            ("tasks_retried", "Retried", "warn"),
            ("tasks_failed", "Failed", "bad"),
        ),
    )


def _results(
    found: Found, *, key: str, title: str, one: str, shown: Sequence[tuple[str, str, str]]
) -> Chart | None:
    given = [(found.get(metric), label, tone) for metric, label, tone in shown]
    known = [(line, label, tone) for line, label, tone in given if line is not None]
    if not known:
        return None
    totals = {label: int(sum(v for v in line.values if v)) for line, label, _ in known}
    succeeded, failed = totals.get("Succeeded", 0), totals.get("Failed", 0)
    retried = totals.get("Retried", 0)
    ended = succeeded + failed
    parts = [f"{failed:,} failed"] if ended else []
    if retried:
        parts.append(f"{retried:,} retried")
    if ended:
        parts.append(f"{100 * succeeded / ended:.1f} % succeeded")
    return make_chart(
        [drawn_as(line, label, tone, "bars") for line, label, tone in known],
        key=key,
        title=title,
        unit="count",
        span=known[0][0].span,
        figure=f"{ended:,}",
        detail=" · ".join([f"{one}{'' if ended == 1 else 's'}", *parts]),
        note="by the time at which they ended",
        is_stacked=True,
    )


def percentiles_chart(found: Found, metric: str, title: str) -> Chart | None:
    half, tenth = found.get(f"{metric}_p50"), found.get(f"{metric}_p90")
    if half is None or tenth is None:
        return None
    known = [value for value in half.values if value is not None]
    usual, slowest = sum(known) / len(known), highest(tenth.values) or 0.0
    return make_chart(
        [drawn_as(half, "P50, half are faster", "move", "line")]
        + [drawn_as(tenth, "P90, nine of ten are faster", "warn", "dashes")],
        key=metric,
        title=title,
        unit="seconds",
        span=half.span,
        figure=seconds_text(usual),
        detail=f"median (P50) · P90 up to {seconds_text(slowest)}",
        note="of what ended in five minutes: mean of P50, highest P90",
        has_gaps=False,
    )


def delay_chart(found: Found) -> Chart | None:
    line = found.get("delay_p90")
    if line is None:
        return None
    return make_chart(
        [drawn_as(line, "P90, nine of ten start sooner", "warn", "line")],
        key="delay",
        title="Start delay of scheduled DAG runs",
        unit="seconds",
        span=line.span,
        figure=seconds_text(highest(line.values) or 0.0),
        detail="after the planned time, the slowest tenth (P90)",
        note="a catch-up counts from the time it makes up for",
        has_gaps=False,
    )


def queue_charts(found: Found, queues: Sequence[WorkerQueue]) -> Section:
    names = [queue.name for queue in queues]
    others = [name for name in found.labels("queued", "running") if name not in names]
    by_name = {queue.name: queue for queue in queues}
    charts = [_queue(found, name, by_name.get(name)) for name in [*names, *others]]
    return section_of("queues", "Worker queues", charts, note=SLOTS_NOTE)


def _queue(found: Found, name: str, queue: WorkerQueue | None) -> Chart | None:
    running, queued = found.get("running", name), found.get("queued", name)
    workers, wanted = found.get("workers", name), found.get("workers_wanted", name)
    known = [line for line in (running, queued, workers) if line is not None]
    if not known:
        return None
    span = known[0].span
    drawn = [
        drawn_as(line, label, tone, "area")
        for line, label, tone in (
            (running, "Tasks running", "move"),
            (queued, "Tasks queued", "warn"),
        )
        if line is not None
    ]
    slots = queue.concurrency if queue else 1
    if workers is not None and queue is not None:
        drawn.append(scaled_to(workers, "Slots of running workers", "ink", "step", slots))
        most = tuple(float(queue.max_workers * slots) for _ in workers.values)
        drawn.append(Drawn(label="Slots at most", tone="idle", drawing="limit", values=most))
    return make_chart(
        drawn,
        key=f"queue-{name}",
        title=name,
        unit="count",
        span=span,
        figure=_workers_in_words(workers, wanted, queue),
        detail=f"{newest_count(running)} running, {newest_count(queued)} queued",
        note="" if queue else "This queue is not configured.",
        is_stacked=True,
    )


def _workers_in_words(workers: Line | None, wanted: Line | None, queue: WorkerQueue | None) -> str:
    there = newest(workers)
    if there is None:
        return "Workers unknown"
    most = f" of {queue.max_workers}" if queue else ""
    asked = newest(wanted)
    word = "worker" if there == 1 and not most else "workers"
    more = f", {asked:.0f} wanted" if asked is not None and asked != there else ""
    return f"{there:.0f}{most} {word}{more}"


def running_charts(found: Found) -> Section:
    charts = [_queue(found, name, None) for name in found.labels("queued", "running")]
    return section_of("queues", "Tasks queued and running", charts)
