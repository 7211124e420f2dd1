"""Charts of what an Airflow consists of: components, pods, pools, its database. Pure."""

from collections.abc import Callable, Sequence

from apps.dataplane.spec import WorkerQueue
from apps.observability.analytics.drawing import (
    Chart,
    Drawn,
    Found,
    Section,
    bytes_text,
    cores_text,
    drawn_as,
    highest,
    make_chart,
    newest,
    newest_count,
    newest_or_unknown,
    scaled_to,
    seconds_text,
    section_of,
)
from apps.observability.history.queries import Line

# A limit this many times above what is used flattens a chart.
FLATTENED = 20


def component_charts(found: Found, queues: Sequence[WorkerQueue] | None) -> Section:
    """Return what components use, and their limits. `queues` is None where there are no workers."""
    charts = []
    for name in sorted(found.labels("memory_bytes", "cpu_millis"), key=_component_order):
        memory, cpu = found.get("memory_bytes", name), found.get("cpu_millis", name)
        if cpu is not None:
            charts.append(_cpu(cpu, found.get("cpu_limit", name), name))
        if memory is not None:
            charts.append(_memory(memory, found.get("memory_limit", name), name))
    return section_of("usage", "CPU, memory and pods", [*charts, _pods(found, queues)])


def _component_order(name: str) -> tuple[int, str]:
    order = ("scheduler", "api-server", "dag-processor", "triggerer")
    return (order.index(name) if name in order else len(order), name)


def _memory(line: Line, most: Line | None, name: str) -> Chart:
    return make_chart(
        [drawn_as(line, "Memory", "move", "area"), *_limit(line, most, 1)],
        key=f"memory-{name}",
        title=f"{name}, memory",
        unit="bytes",
        span=line.span,
        figure=newest_or_unknown(line, bytes_text),
        detail=f"peak {bytes_text(highest(line.values) or 0.0)}{_limit_in_words(most, bytes_text)}",
    )


def _cpu(line: Line, most: Line | None, name: str) -> Chart:
    return make_chart(
        [scaled_to(line, "CPU", "move", "area", 0.001), *_limit(line, most, 0.001)],
        key=f"cpu-{name}",
        title=f"{name}, CPU",
        unit="cores",
        span=line.span,
        figure=newest_or_unknown(line, cores_text),
        detail=f"peak {cores_text(highest(line.values) or 0.0)}{_limit_in_words(most, cores_text)}",
    )


def _limit(line: Line, most: Line | None, factor: float) -> list[Drawn]:
    """Return the line of a limit, unless it is so high that beside it nothing else could be read;
    then the words name it alone.
    """
    if most is None or (highest(line.values) or 0.0) * FLATTENED < (highest(most.values) or 0.0):
        return []
    return [scaled_to(most, "Limit", "idle", "limit", factor)]


def _limit_in_words(most: Line | None, written: Callable[[float], str]) -> str:
    known = newest(most)
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
    now = sum(newest(line) or 0.0 for line in lines.values())
    detail = ""
    if queues is not None and core:
        most = sum(queue.max_workers for queue in queues)
        limit = tuple(None if value is None else value + most for value in core)
        drawn.append(Drawn(label="At most", tone="idle", drawing="limit", values=limit))
        detail = f"workers: {most} at most"
    return make_chart(
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


def pool_charts(found: Found) -> Section:
    charts = [_pool(found, name) for name in found.labels("pool_used", "pool_waiting")]
    return section_of("pools", "Pools", charts, note="Queued tasks hold their slots.")


def _pool(found: Found, name: str) -> Chart | None:
    used, slots = found.get("pool_used", name), found.get("pool_slots", name)
    waiting = found.get("pool_waiting", name)
    if used is None or slots is None:
        return None
    drawn = [drawn_as(used, "Slots in use", "move", "area")]
    if waiting is not None:
        drawn.append(drawn_as(waiting, "Slots that tasks wait for", "warn", "area"))
    drawn.append(drawn_as(slots, "Slots", "idle", "limit"))
    waits = newest(waiting) or 0
    return make_chart(
        drawn,
        key=f"pool-{name}",
        title=name,
        unit="count",
        span=used.span,
        figure=f"{newest_count(used)} of {newest_count(slots)}",
        detail=f"slots in use · {waits:,.0f} waited for",
        is_stacked=True,
    )


def heartbeats(found: Found) -> Chart | None:
    shown = (("scheduler", "move"), ("dag-processor", "good"), ("triggerer", "idle"))
    given = [(found.get("heartbeat_age", name), name, tone) for name, tone in shown]
    known = [(line, name, tone) for line, name, tone in given if line is not None]
    if not known:
        return None
    longest = max(highest(line.values) or 0.0 for line, _, _ in known)
    return make_chart(
        [drawn_as(line, name, tone, "line") for line, name, tone in known],
        key="heartbeats",
        title="Heartbeats",
        unit="seconds",
        span=known[0][0].span,
        figure=seconds_text(longest),
        detail="longest time without one",
        note="seconds since the last one; healthy below 30",
    )


def database(found: Found) -> Chart | None:
    line = found.get("database_bytes")
    if line is None:
        return None
    return make_chart(
        [drawn_as(line, "Size", "move", "area")],
        key="database",
        title="Metadata database",
        unit="bytes",
        span=line.span,
        figure=newest_or_unknown(line, bytes_text),
        detail=f"peak {bytes_text(highest(line.values) or 0.0)}",
    )
