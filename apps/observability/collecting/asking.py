"""One question to one Deployment, in a thread: Airflow's own counts, and what the plane measures.

Five requests on a Kubernetes cluster, one on this machine, whatever the number of DAGs. What
workers and components there are is read from the last observation, which watches and passes keep.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from apps.dataplane.base import DataPlane, SupportsLimits, SupportsMetrics, SupportsScalingHistory
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import LiveMetrics, Observation, ScalingDecision
from apps.dataplane.untrusted import moment_at
from apps.observability.collecting.answers import Ended, name_of, read_answer
from apps.observability.history.storage import Name
from apps.observability.results.reading import Results, read_results

PATH = "/auth/portal/history"
MOST_AHEAD = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A Deployment to ask. `since` is from when on what ended is counted, None for not now, and
    `list_from` from when on it is listed; `seen` is its last observation, if that is recent enough
    to count; `decided` is up to when its decisions about workers are known.
    """

    deployment_id: int
    cluster_id: int
    plane: DataPlane
    spec: DeploymentSpec
    seen: Observation | None
    since: int | None
    list_from: datetime | None = None
    decided: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a Deployment said at one time. Without an answer `is_answered` is False; `problem` is a
    sentence for people in any case.
    """

    deployment_id: int
    at: datetime
    gauges: dict[Name, float]
    ended: Ended | None = None
    results: Results | None = None
    is_answered: bool = False
    problem: str = ""
    decisions: tuple[ScalingDecision, ...] = ()


def ask(target: Target, *, now: datetime) -> Reading:
    """Ask a Deployment. Raises nothing of a data plane: what is not told is a gap."""
    reading = _answered(target, now=now)
    return replace(reading, decisions=_decisions(target, reading))


def _answered(target: Target, *, now: datetime) -> Reading:
    gauges = dict(_seen(target.seen)) if target.seen else {}
    gauges |= dict(_used(target))
    gauges |= dict(_limits(target))
    try:
        response = target.plane.airflow(spec=target.spec, method="GET", path=_path(target))
    except DataPlaneError as error:
        return _reading(target, now, gauges, problem=error.message)
    if response.status == 404:
        # An Airflow of an older portal: what the plane measures is worth its rhythm all the same.
        problem = "Its Airflow does not tell its history yet. Apply the Deployment again."
        return _reading(target, now, gauges, problem=problem, is_answered=True)
    answer = read_answer(response.data, since=target.since, now=now)
    if response.status != 200 or answer is None:
        problem = f"Airflow gave an answer that the portal cannot read ({response.status})."
        return _reading(target, now, gauges, problem=problem)
    return Reading(
        deployment_id=target.deployment_id,
        at=now,
        gauges={**gauges, **answer.gauges},
        ended=answer.ended,
        results=_results(target, response.data, now),
        is_answered=True,
        problem=answer.problem,
    )


def _path(target: Target) -> str:
    asked: dict[str, int | float] = {}
    if target.since is not None:
        asked["since"] = target.since
    if target.list_from is not None:
        asked["results"] = target.list_from.timestamp()
    return f"{PATH}?{urlencode(asked)}" if asked else PATH


def _results(target: Target, said: object, now: datetime) -> Results | None:
    """Return the list of what ended, None from an Airflow of an older portal or a slow database."""
    if target.list_from is None or not isinstance(said, dict):
        return None
    clock = moment_at(said.get("clock")) or now
    clock = min(clock, now + MOST_AHEAD)
    return read_results(said.get("results"), since=target.list_from, clock=clock)


def _reading(
    target: Target,
    now: datetime,
    gauges: dict[Name, float],
    *,
    problem: str,
    is_answered: bool = False,
) -> Reading:
    return Reading(
        deployment_id=target.deployment_id,
        at=now,
        gauges=gauges,
        is_answered=is_answered,
        problem=problem[:500],
    )


def _seen(seen: Observation) -> Iterator[tuple[Name, float]]:
    for queue in seen.queues:
        yield ("workers", name_of(queue.name)), float(queue.workers_ready)
        yield ("workers_wanted", name_of(queue.name)), float(queue.workers_wanted)
    for component in seen.components:
        yield ("pods", name_of(component.name)), float(component.ready)
        if component.memory_bytes is not None:
            yield ("memory_bytes", name_of(component.name)), float(component.memory_bytes)
        if component.cpu_millis is not None:
            yield ("cpu_millis", name_of(component.name)), float(component.cpu_millis)


def _used(target: Target) -> Iterator[tuple[Name, float]]:
    if not isinstance(target.plane, SupportsMetrics):
        return
    told: LiveMetrics = target.plane.live_metrics(spec=target.spec)
    for name, usage in (told.usage or {}).items():
        yield ("memory_bytes", name_of(name)), float(usage.memory_bytes)
        yield ("cpu_millis", name_of(name)), float(usage.cpu_millis)


def _limits(target: Target) -> Iterator[tuple[Name, float]]:
    if target.seen is None or not isinstance(target.plane, SupportsLimits):
        return
    counts = {one.name: one.ready for one in target.seen.components}
    for name, most in target.plane.limits(spec=target.spec, counts=counts).items():
        yield ("memory_limit", name_of(name)), float(most.memory_bytes)
        yield ("cpu_limit", name_of(name)), float(most.cpu_millis)


def _decisions(target: Target, reading: Reading) -> tuple[ScalingDecision, ...]:
    """Return the new decisions about workers; where the plane does not count tasks, with those that
    Airflow counted a moment ago.
    """
    if target.decided is None or not isinstance(target.plane, SupportsScalingHistory):
        return ()
    told = target.plane.scaling_decisions(spec=target.spec, since=target.decided)
    return tuple(_completed(one, reading.gauges) for one in told)


def _completed(decision: ScalingDecision, gauges: dict[Name, float]) -> ScalingDecision:
    def known(value: int | None, metric: str) -> int | None:
        gauge = gauges.get((metric, decision.queue))
        return int(gauge) if value is None and gauge is not None else value

    return replace(
        decision,
        queued=known(decision.queued, "queued"),
        running=known(decision.running, "running"),
        ready=known(decision.ready, "workers"),
    )


def recent(seen: Observation | None, *, now: datetime, within: timedelta) -> Observation | None:
    """Return an observation that is recent enough to say what is now, else None. Pure."""
    if seen is None or not seen.exists or now - seen.observed_at > within:
        return None
    return seen
