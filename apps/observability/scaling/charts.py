"""The charts of a queue: tasks beside workers, and a replay beside what was. Pure."""

from apps.observability.analytics.drawing import Chart, Drawing, Drawn, gaps_of
from apps.observability.history.queries import Line, Span
from apps.observability.scaling.simulation import Outcome, Steps


def sampled(steps: Steps, span: Span) -> tuple[float | None, ...]:
    """Return the highest value of each point of a span, None where nothing is known."""
    found: list[float | None] = [None] * span.size
    ends = (*steps.times[1:], steps.end)
    for begin, end, value in zip(steps.times, ends, steps.values, strict=True):
        if value is None or end <= begin:
            continue
        first = max(0, int(begin - span.begin) // span.step)
        last = min(span.size - 1, int(-(-(end - span.begin) // span.step)) - 1)
        for place in range(first, last + 1):
            found[place] = max(found[place] or 0.0, value)
    return tuple(found)


def tasks_chart(*, queued: Line | None, running: Line | None, span: Span) -> Chart:
    """Return the chart of the tasks of a queue."""
    empty = (None,) * span.size
    waiting, working = (queued.values if queued else empty), (running.values if running else empty)
    peak = max((value for value in waiting if value is not None), default=0.0)
    return _chart(
        key="tasks",
        title="Tasks",
        span=span,
        lines=(
            _drawn("Tasks running", "move", "area", working),
            _drawn("Tasks queued", "warn", "area", waiting),
        ),
        figure=f"{peak:,.0f}",
        detail="tasks queued at most",
        is_stacked=True,
    )


def workers_chart(
    *, workers: Steps, wanted: Steps, ready: Line | None, most: Steps, span: Span
) -> Chart:
    """Return the chart of the workers of a queue."""
    lines = [
        _drawn("Workers wanted", "warn", "step", sampled(wanted, span)),
        _drawn("Workers running or starting", "ink", "step", sampled(workers, span)),
    ]
    if ready is not None:
        lines.append(_drawn("Workers that take tasks", "good", "step", ready.values))
    lines.append(_drawn("Maximum", "idle", "limit", sampled(most, span)))
    return _chart(
        key="workers",
        title="Workers",
        span=span,
        lines=tuple(lines),
        figure=f"{workers.peak():,.0f}",
        detail=f"at most · {workers.total() / 3600:,.1f} worker hours",
    )


def replay_charts(*, was: Outcome, replay: Outcome, span: Span) -> tuple[Chart, Chart]:
    """Return workers and waiting tasks as they were, with those of a replay."""
    return (
        _chart(
            key="replay-workers",
            title="Workers",
            span=span,
            lines=(
                _drawn("As it was", "idle", "area", sampled(was.workers, span)),
                _drawn("In the replay", "move", "step", sampled(replay.workers, span)),
            ),
            figure=f"{replay.worker_hours:,.1f}",
            detail=f"worker hours · {was.worker_hours:,.1f} as it was",
        ),
        _chart(
            key="replay-queued",
            title="Tasks waiting for a worker",
            span=span,
            lines=(
                _drawn("As it was", "idle", "area", sampled(was.waiting, span)),
                _drawn("In the replay", "warn", "step", sampled(replay.waiting, span)),
            ),
            figure=f"{replay.waiting.peak():,.0f}",
            detail=f"at most · {was.waiting.peak():,.0f} as it was",
        ),
    )


def _drawn(label: str, tone: str, drawing: Drawing, values: tuple[float | None, ...]) -> Drawn:
    return Drawn(label=label, tone=tone, drawing=drawing, values=values)


def _chart(
    *,
    key: str,
    title: str,
    span: Span,
    lines: tuple[Drawn, ...],
    figure: str,
    detail: str,
    is_stacked: bool = False,
) -> Chart:
    return Chart(
        key=key,
        title=title,
        unit="count",
        span=span,
        lines=lines,
        figure=figure,
        detail=detail,
        is_stacked=is_stacked,
        gaps=gaps_of(lines, span),
    )
