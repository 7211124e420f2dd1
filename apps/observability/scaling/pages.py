"""What the pages about scaling show, in a fixed number of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.dataplane.spec import WorkerQueue
from apps.deployments.models import Deployment
from apps.observability.analytics.drawing import Chart
from apps.observability.analytics.marks import Mark, marks_between
from apps.observability.analytics.ranges import Range
from apps.observability.history.decisions import decision_before, decisions_of
from apps.observability.history.metrics import FINE, RAW, SECOND
from apps.observability.history.models import RecordedDecision
from apps.observability.history.queries import Line, Span, lines, span_between
from apps.observability.scaling import recorded
from apps.observability.scaling.charts import replay_charts, tasks_chart, workers_chart
from apps.observability.scaling.recommendation import Recommendation, recommend
from apps.observability.scaling.simulation import (
    Demand,
    Outcome,
    Settings,
    Steps,
    simulate,
)

METRICS = ("queued", "running", "workers", "workers_wanted")
ENDED = ("tasks_succeeded", "tasks_failed", "tasks_retried")
MOST_DECISIONS = 5000
LONGEST_REPLAY = timedelta(days=7)
# Up to this length a replay takes measurements as they came, beyond it those of five minutes.
PRECISE = timedelta(days=1)
MOST_QUEUES = 50


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Charts over a range, as their script asks for them."""

    range: Range
    marks: list[Mark]
    charts: tuple[Chart, ...]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of a queue over a span: lines by metric, and decisions in the order of time,
    the
    one that held at the beginning first.
    """

    span: Span
    lines: Mapping[str, Line]
    decisions: Sequence[RecordedDecision]

    @property
    def is_known(self) -> bool:
        return bool(self.lines.keys() - {SECOND}) or bool(self.decisions)

    def steps(self, name: str) -> Steps:
        """Return a number of the decisions over time."""
        return Steps(
            times=tuple(max(one.at.timestamp(), self.span.begin) for one in self.decisions),
            values=tuple(float(getattr(one, name)) for one in self.decisions),
            end=float(self.span.end),
        )

    @property
    def workers(self) -> Steps:
        return recorded.workers_of(
            workers=self.lines.get("workers_wanted"),
            decisions=self.decisions,
            begin=float(self.span.begin),
            end=float(self.span.end),
        )


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A replay of a range beside what was. `settings` are those of the replay, `held` those that
    held
    at the end of the range; `control` is the replay with these, which says how far to trust it.
    """

    held: Settings
    settings: Settings
    was: Outcome
    outcome: Outcome
    control: Outcome
    recommendation: Recommendation
    changed_at: Sequence[datetime]
    is_task_length_known: bool
    charts: tuple[Chart, ...]

    @property
    def deviation(self) -> float | None:
        """By which part the worker hours of the control differ from those that were."""
        hours = self.was.worker_hours
        return abs(self.control.worker_hours - hours) / hours if hours else None


def queues_of(deployment: Deployment) -> list[WorkerQueue]:
    """Return the queues that a Deployment has, none for an executor without."""
    revision = deployment.applied or deployment.wanted
    return list(revision.configuration.queues)[:MOST_QUEUES] if revision else []


def past_of(*, deployment: Deployment, queue: str, span: Span, now: datetime) -> Past:
    """Return what is known of a queue over a span: four statements."""
    found = lines(
        deployment_id=deployment.pk,
        span=span,
        metrics=(*METRICS, SECOND),
        now=now,
        labels=(queue, ""),
    )
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (span.begin, span.end))
    found_decisions = decisions_of(deployment_id=deployment.pk, queue=queue, begin=begin, end=end)
    rows = list(found_decisions[:MOST_DECISIONS])
    first = rows[-1].at if rows else begin
    before = decision_before(deployment_id=deployment.pk, queue=queue, at=first)
    kept = [*reversed(rows)] if before is None else [before, *reversed(rows)]
    return Past(span=span, lines={line.metric: line for line in found}, decisions=kept)


def history_of(*, deployment: Deployment, queue: str, shown: Range) -> Drawing:
    """Return the charts of a queue over a range; none where nothing is known."""
    span = span_between(shown.begin, shown.end)
    past = past_of(deployment=deployment, queue=queue, span=span, now=shown.now)
    charts: tuple[Chart, ...] = ()
    if past.is_known:
        charts = (
            workers_chart(
                workers=past.workers,
                wanted=past.steps("wanted"),
                ready=past.lines.get("workers"),
                most=past.steps("max_workers"),
                span=span,
            ),
            tasks_chart(
                queued=past.lines.get("queued"), running=past.lines.get("running"), span=span
            ),
        )
    marks = marks_between(deployment=deployment, begin=shown.begin, end=shown.end)
    return Drawing(range=shown, marks=marks, charts=charts)


def replay_span(shown: Range) -> Span:
    """Return the end of a range that can be replayed, in the steps of measurements."""
    begin = max(shown.begin, shown.end - LONGEST_REPLAY)
    step = RAW if shown.end - begin <= PRECISE else FINE
    first, last = (int(at.timestamp()) // step * step for at in (begin, shown.end))
    return Span(begin=first, end=max(last, first + step), step=step)


def replay_of(
    *,
    deployment: Deployment,
    queue: WorkerQueue,
    shown: Range,
    asked: Settings | None,
    most_workers: int,
) -> Replayed | None:
    """Replay a range with the settings that are asked for, or with those that held. None where no
    task of it is known.
    """
    span = replay_span(shown)
    past = past_of(deployment=deployment, queue=queue.name, span=span, now=shown.now)
    length = _task_seconds(deployment, past, now=shown.now)
    demand = recorded.demand_of(
        queued=past.lines.get("queued"),
        running=past.lines.get("running"),
        ready=past.lines.get("workers"),
        decisions=past.decisions,
        end=float(span.end),
        seconds=past.lines.get(SECOND) if span.step == RAW else None,
        keeps_peak=deployment.cluster.is_kubernetes,
    )
    demand = recorded.with_task_seconds(demand, running_seconds=length)
    if not any(point.tasks for point in demand.points):
        return None
    held = held_settings(past, queue)
    was = recorded.outcome_of(demand, _clipped(past.workers, demand))
    began_with = int(was.workers.at(demand.points[0].at) or 0) or None
    control = simulate(demand, held, began_with=began_with)
    outcome = simulate(demand, asked, began_with=began_with) if asked else control
    chart_span = span_between(
        datetime.fromtimestamp(span.begin, UTC), datetime.fromtimestamp(span.end, UTC)
    )
    return Replayed(
        held=held,
        settings=asked or held,
        was=was,
        outcome=outcome,
        control=control,
        recommendation=recommend(demand, held, most_workers=most_workers),
        changed_at=recorded.settings_changed(past.decisions),
        is_task_length_known=length is not None,
        charts=replay_charts(was=was, replay=outcome, span=chart_span),
    )


def held_settings(past: Past, queue: WorkerQueue) -> Settings:
    """Return the settings of the last decision, those of the queue where none is known."""
    if past.decisions:
        return recorded.settings_of(past.decisions[-1])
    return Settings(
        concurrency=queue.concurrency,
        min_workers=queue.min_workers,
        max_workers=queue.max_workers,
        cooldown_seconds=300,
    )


def _clipped(workers: Steps, demand: Demand) -> Steps:
    """Return workers where tasks are known, so that both count the same time."""
    gaps = sorted(
        {point.at: point.tasks is None for point in demand.points}.items(),
        key=lambda pair: pair[0],
    )
    times = sorted({*workers.times, *(at for at, _ in gaps)})
    values, place, is_gap = [], 0, True
    for at in times:
        while place < len(gaps) and gaps[place][0] <= at:
            is_gap = gaps[place][1]
            place += 1
        values.append(None if is_gap else workers.at(at))
    return Steps(times=tuple(times), values=tuple(values), end=demand.end)


def _task_seconds(deployment: Deployment, past: Past, *, now: datetime) -> float | None:
    """Return how long a task ran on average, over the last day of a span."""
    span = past.span
    begin = max(span.begin, span.end - int(PRECISE.total_seconds())) // FINE * FINE
    fine = Span(begin=begin, end=-(-span.end // FINE) * FINE, step=FINE)
    ended = lines(deployment_id=deployment.pk, span=fine, metrics=ENDED, now=now)
    raw = Span(begin=fine.begin, end=fine.end, step=RAW)
    running = lines(deployment_id=deployment.pk, span=raw, metrics=("running",), now=now)
    return recorded.task_seconds_of(running=running, ended=ended)
