"""Which charts a Deployment has, and what their headings say. Pure: from lines to charts.

A chart never invents: where no line has a value there is a gap, which the page hatches and names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from apps.core.words import bytes_in_words, duration_in_words
from apps.dataplane.spec import WorkerQueue
from apps.observability.history.queries import Line, Span

Drawing = Literal["bars", "area", "line", "dashes", "step", "limit"]
Unit = Literal["count", "seconds", "bytes", "cores"]

# Of one kind no more are drawn; the others are named below them.
MOST_OF_A_KIND = 12
# A limit this many times above what is used flattens a chart.
FLATTENED = 20
SLOTS_NOTE = "Where the colored area rises above the line, tasks wait for a worker."
SHOWN = (
    "heartbeat_age",
    "runs_succeeded",
    "runs_failed",
    "tasks_succeeded",
    "tasks_failed",
    "tasks_retried",
    "run_p50",
    "run_p90",
    "task_p50",
    "task_p90",
    "wait_p50",
    "wait_p90",
    "delay_p90",
    "queued",
    "running",
    "workers",
    "workers_wanted",
    "cpu_millis",
    "cpu_limit",
    "memory_bytes",
    "memory_limit",
    "pods",
    "pool_slots",
    "pool_used",
    "pool_waiting",
    "database_bytes",
)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One line of a chart. `tone` is a tone of the design, `values` are in the chart's unit."""

    label: str
    tone: str
    drawing: Drawing
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """`figure` is what is read first, `detail` goes on from there. `is_stacked`: the lines that are
    bars or areas stand on top of each other.
    """

    key: str
    title: str
    unit: Unit
    span: Span
    lines: tuple[Drawn, ...]
    figure: str
    detail: str
    note: str = ""
    is_stacked: bool = False
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def per(self) -> str:
        """The length of a point in words: "5 min", "2 h"."""
        words = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
        size, word = next(one for one in words if self.span.step % one[0] == 0)
        return f"{self.span.step // size} {word}"


@dataclass(frozen=True, kw_only=True)
class Section:
    """Charts that are read together, under one title."""

    key: str
    title: str
    charts: tuple[Chart, ...]
    note: str = ""
    rest: int = 0


@dataclass(frozen=True, kw_only=True)
class Found:
    """Lines by metric and label."""

    lines: Mapping[tuple[str, str], Line] = field(default_factory=dict)

    def get(self, metric: str, label: str = "") -> Line | None:
        return self.lines.get((metric, label))

    def labels(self, *metrics: str) -> list[str]:
        """Return the labels of some metrics, those of the highest values first."""
        highest: dict[str, float] = {}
        for (metric, label), line in self.lines.items():
            if metric in metrics:
                highest[label] = max(highest.get(label, 0.0), _highest(line.values) or 0.0)
        return sorted(highest, key=lambda label: (-highest[label], label))


def sections_of(
    lines: Iterable[Line], *, queues: Sequence[WorkerQueue], executor: str
) -> list[Section]:
    """Return the charts of what was found; a chart of which nothing is known is left out."""
    found = Found(lines={(line.metric, line.label): line for line in lines})
    sections = [
        Section(key="work", title="", charts=_some(_runs(found), _tasks(found))),
        Section(
            key="time",
            title="",
            charts=_some(
                _percentiles(found, "run", "DAG run duration"),
                _percentiles(found, "task", "Task duration"),
                _percentiles(found, "wait", "Time in the queue"),
                _delay(found),
            ),
        ),
        _queues(found, queues) if executor == "celery" else _running(found),
        _components(found, queues if executor == "celery" else None),
        _pools(found),
        Section(key="health", title="", charts=_some(_heartbeats(found), _database(found))),
    ]
    return [section for section in sections if section.charts]


def _some(*charts: Chart | None) -> tuple[Chart, ...]:
    return tuple(chart for chart in charts if chart is not None)


def _runs(found: Found) -> Chart | None:
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


def _tasks(found: Found) -> Chart | None:
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
    return _chart(
        [_drawn(line, label, tone, "bars") for line, label, tone in known],
        key=key,
        title=title,
        unit="count",
        span=known[0][0].span,
        figure=f"{ended:,}",
        detail=" · ".join([f"{one}{'' if ended == 1 else 's'}", *parts]),
        note="by the time at which they ended",
        is_stacked=True,
    )


def _percentiles(found: Found, metric: str, title: str) -> Chart | None:
    half, tenth = found.get(f"{metric}_p50"), found.get(f"{metric}_p90")
    if half is None or tenth is None:
        return None
    known = [value for value in half.values if value is not None]
    usual, slowest = sum(known) / len(known), _highest(tenth.values) or 0.0
    return _chart(
        [_drawn(half, "P50, half are faster", "move", "line")]
        + [_drawn(tenth, "P90, nine of ten are faster", "warn", "dashes")],
        key=metric,
        title=title,
        unit="seconds",
        span=half.span,
        figure=_seconds(usual),
        detail=f"median (P50) · P90 up to {_seconds(slowest)}",
        note="of what ended in five minutes: mean of P50, highest P90",
        has_gaps=False,
    )


def _delay(found: Found) -> Chart | None:
    line = found.get("delay_p90")
    if line is None:
        return None
    return _chart(
        [_drawn(line, "P90, nine of ten start sooner", "warn", "line")],
        key="delay",
        title="Start delay of scheduled DAG runs",
        unit="seconds",
        span=line.span,
        figure=_seconds(_highest(line.values) or 0.0),
        detail="after the planned time, the slowest tenth (P90)",
        note="a catch-up counts from the time it makes up for",
        has_gaps=False,
    )


def _queues(found: Found, queues: Sequence[WorkerQueue]) -> Section:
    names = [queue.name for queue in queues]
    others = [name for name in found.labels("queued", "running") if name not in names]
    by_name = {queue.name: queue for queue in queues}
    charts = [_queue(found, name, by_name.get(name)) for name in [*names, *others]]
    return _section("queues", "Worker queues", charts, note=SLOTS_NOTE)


def _queue(found: Found, name: str, queue: WorkerQueue | None) -> Chart | None:
    running, queued = found.get("running", name), found.get("queued", name)
    workers, wanted = found.get("workers", name), found.get("workers_wanted", name)
    known = [line for line in (running, queued, workers) if line is not None]
    if not known:
        return None
    span = known[0].span
    drawn = [
        _drawn(line, label, tone, "area")
        for line, label, tone in (
            (running, "Tasks running", "move"),
            (queued, "Tasks queued", "warn"),
        )
        if line is not None
    ]
    slots = queue.concurrency if queue else 1
    if workers is not None and queue is not None:
        drawn.append(_scaled(workers, "Slots of running workers", "ink", "step", slots))
        most = tuple(float(queue.max_workers * slots) for _ in workers.values)
        drawn.append(Drawn(label="Slots at most", tone="idle", drawing="limit", values=most))
    return _chart(
        drawn,
        key=f"queue-{name}",
        title=name,
        unit="count",
        span=span,
        figure=_workers_in_words(workers, wanted, queue),
        detail=f"{_last_count(running)} running, {_last_count(queued)} queued",
        note="" if queue else "This queue is not configured.",
        is_stacked=True,
    )


def _workers_in_words(workers: Line | None, wanted: Line | None, queue: WorkerQueue | None) -> str:
    there = _last(workers)
    if there is None:
        return "Workers unknown"
    most = f" of {queue.max_workers}" if queue else ""
    asked = _last(wanted)
    word = "worker" if there == 1 and not most else "workers"
    more = f", {asked:.0f} wanted" if asked is not None and asked != there else ""
    return f"{there:.0f}{most} {word}{more}"


def _running(found: Found) -> Section:
    charts = [_queue(found, name, None) for name in found.labels("queued", "running")]
    return _section("queues", "Tasks queued and running", charts)


def _components(found: Found, queues: Sequence[WorkerQueue] | None) -> Section:
    """Return what components use, and their limits. `queues` is None where there are no workers."""
    charts = []
    for name in sorted(found.labels("memory_bytes", "cpu_millis"), key=_component_order):
        memory, cpu = found.get("memory_bytes", name), found.get("cpu_millis", name)
        if cpu is not None:
            charts.append(_cpu(cpu, found.get("cpu_limit", name), name))
        if memory is not None:
            charts.append(_memory(memory, found.get("memory_limit", name), name))
    return _section("usage", "CPU, memory and pods", [*charts, _pods(found, queues)])


def _component_order(name: str) -> tuple[int, str]:
    order = ("scheduler", "api-server", "dag-processor", "triggerer")
    return (order.index(name) if name in order else len(order), name)


def _memory(line: Line, most: Line | None, name: str) -> Chart:
    return _chart(
        [_drawn(line, "Memory", "move", "area"), *_limit(line, most, 1)],
        key=f"memory-{name}",
        title=f"{name}, memory",
        unit="bytes",
        span=line.span,
        figure=_or_unknown(line, _bytes),
        detail=f"peak {_bytes(_highest(line.values) or 0.0)}{_limit_in_words(most, _bytes)}",
    )


def _cpu(line: Line, most: Line | None, name: str) -> Chart:
    return _chart(
        [_scaled(line, "CPU", "move", "area", 0.001), *_limit(line, most, 0.001)],
        key=f"cpu-{name}",
        title=f"{name}, CPU",
        unit="cores",
        span=line.span,
        figure=_or_unknown(line, _cores),
        detail=f"peak {_cores(_highest(line.values) or 0.0)}{_limit_in_words(most, _cores)}",
    )


def _limit(line: Line, most: Line | None, factor: float) -> list[Drawn]:
    """Return the line of a limit, unless it is so high that beside it nothing else could be read;
    then the words name it alone.
    """
    if most is None or (_highest(line.values) or 0.0) * FLATTENED < (_highest(most.values) or 0.0):
        return []
    return [_scaled(most, "Limit", "idle", "limit", factor)]


def _limit_in_words(most: Line | None, written: Callable[[float], str]) -> str:
    known = _last(most)
    return "" if known is None else f", limit {written(known)}"


def _pods(found: Found, queues: Sequence[WorkerQueue] | None) -> Chart | None:
    """Return how many pods, or processes, Airflow's own components and the workers are."""
    labels = found.labels("pods")
    lines = {name: line for name in labels if (line := found.get("pods", name)) is not None}
    if not lines:
        return None
    span = next(iter(lines.values())).span
    core = _sum([line for name, line in lines.items() if not name.startswith("worker ")])
    workers = _sum([line for name, line in lines.items() if name.startswith("worker ")])
    drawn = [Drawn(label="Components", tone="move", drawing="area", values=core)] if core else []
    if workers:
        drawn.append(Drawn(label="Workers", tone="good", drawing="area", values=workers))
    now = sum(_last(line) or 0.0 for line in lines.values())
    detail = ""
    if queues is not None and core:
        most = sum(queue.max_workers for queue in queues)
        limit = tuple(None if value is None else value + most for value in core)
        drawn.append(Drawn(label="At most", tone="idle", drawing="limit", values=limit))
        detail = f"workers: {most} at most"
    return _chart(
        drawn,
        key="pods",
        title="Pods or processes that are ready",
        unit="count",
        span=span,
        figure=f"{now:,.0f}",
        detail=detail,
        is_stacked=True,
    )


def _sum(lines: Sequence[Line]) -> tuple[float | None, ...]:
    """Return the sum of lines at each time, a gap where none of them is known."""
    columns = zip(*(line.values for line in lines), strict=True)
    return tuple(
        sum(known) if (known := [value for value in column if value is not None]) else None
        for column in columns
    )


def _pools(found: Found) -> Section:
    charts = [_pool(found, name) for name in found.labels("pool_used", "pool_waiting")]
    return _section("pools", "Pools", charts, note="Queued tasks hold their slots.")


def _pool(found: Found, name: str) -> Chart | None:
    used, slots = found.get("pool_used", name), found.get("pool_slots", name)
    waiting = found.get("pool_waiting", name)
    if used is None or slots is None:
        return None
    drawn = [_drawn(used, "Slots in use", "move", "area")]
    if waiting is not None:
        drawn.append(_drawn(waiting, "Slots that tasks wait for", "warn", "area"))
    drawn.append(_drawn(slots, "Slots", "idle", "limit"))
    waits = _last(waiting) or 0
    return _chart(
        drawn,
        key=f"pool-{name}",
        title=name,
        unit="count",
        span=used.span,
        figure=f"{_last_count(used)} of {_last_count(slots)}",
        detail=f"slots in use · {waits:,.0f} waited for",
        is_stacked=True,
    )


def _heartbeats(found: Found) -> Chart | None:
    shown = (("scheduler", "move"), ("dag-processor", "good"), ("triggerer", "idle"))
    given = [(found.get("heartbeat_age", name), name, tone) for name, tone in shown]
    known = [(line, name, tone) for line, name, tone in given if line is not None]
    if not known:
        return None
    longest = max(_highest(line.values) or 0.0 for line, _, _ in known)
    return _chart(
        [_drawn(line, name, tone, "line") for line, name, tone in known],
        key="heartbeats",
        title="Heartbeats",
        unit="seconds",
        span=known[0][0].span,
        figure=_seconds(longest),
        detail="longest time without one",
        note="seconds since the last one; healthy below 30",
    )


def _database(found: Found) -> Chart | None:
    line = found.get("database_bytes")
    if line is None:
        return None
    return _chart(
        [_drawn(line, "Size", "move", "area")],
        key="database",
        title="Metadata database",
        unit="bytes",
        span=line.span,
        figure=_or_unknown(line, _bytes),
        detail=f"peak {_bytes(_highest(line.values) or 0.0)}",
    )


def _section(key: str, title: str, charts: Sequence[Chart | None], *, note: str = "") -> Section:
    known = _some(*charts)
    return Section(
        key=key,
        title=title,
        charts=known[:MOST_OF_A_KIND],
        note=note,
        rest=max(0, len(known) - MOST_OF_A_KIND),
    )


def _chart(
    lines: Sequence[Drawn],
    *,
    key: str,
    title: str,
    unit: Unit,
    span: Span,
    figure: str,
    detail: str,
    note: str = "",
    is_stacked: bool = False,
    has_gaps: bool = True,
) -> Chart:
    return Chart(
        key=key,
        title=title,
        unit=unit,
        span=span,
        lines=tuple(lines),
        figure=figure,
        detail=detail,
        note=note,
        is_stacked=is_stacked,
        # Nothing ended is no gap: durations have none of their own.
        gaps=gaps_of(lines, span) if has_gaps else (),
    )


def gaps_of(lines: Sequence[Drawn], span: Span) -> tuple[tuple[int, int], ...]:
    """Return from when to when no line has a value, in seconds since 1970."""
    shown = [line.values for line in lines if line.drawing != "limit"]
    found: list[tuple[int, int]] = []
    for place in range(span.size):
        if any(values[place] is not None for values in shown):
            continue
        at = span.begin + place * span.step
        if found and found[-1][1] == at:
            found[-1] = (found[-1][0], at + span.step)
        else:
            found.append((at, at + span.step))
    return tuple(found)


def _drawn(line: Line, label: str, tone: str, drawing: Drawing) -> Drawn:
    return Drawn(label=label, tone=tone, drawing=drawing, values=line.values)


def _scaled(line: Line, label: str, tone: str, drawing: Drawing, factor: float) -> Drawn:
    values = tuple(None if value is None else value * factor for value in line.values)
    return Drawn(label=label, tone=tone, drawing=drawing, values=values)


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _last(line: Line | None) -> float | None:
    """Return the newest value, if it is one of the last points: an older one is not now."""
    values = line.values[-3:] if line else ()
    return next((value for value in reversed(values) if value is not None), None)


def _last_count(line: Line | None) -> str:
    value = _last(line)
    return "unknown" if value is None else f"{value:,.0f}"


def _or_unknown(line: Line, written: Callable[[float], str]) -> str:
    value = _last(line)
    return "Unknown now" if value is None else written(value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else duration_in_words(value)


def _bytes(value: float) -> str:
    return bytes_in_words(int(value))


def _cores(millis: float) -> str:
    return f"{millis / 1000:.2f} CPU"
