"""A day of a Deployment as charts show it: two pools, a gap of an hour, an hour with failures."""

from datetime import datetime, timedelta
from math import pi, sin

from apps.deployments.models import Deployment
from apps.observability.history import storage
from apps.observability.history.models import Collection
from apps.observability.history.storage import Buckets, Gauges, Name, SeriesIds

GAP_HOURS = range(11, 12)
COMPONENTS = ("scheduler", "api-server", "dag-processor", "triggerer", "worker default")


def put_day(deployment: Deployment, *, now: datetime, hours: int = 24, every: int = 120) -> None:
    """Write measurements up to now, one each `every` seconds, and what ended."""
    ids = SeriesIds()
    gauges = [
        Gauges(deployment_id=deployment.pk, at=at, values=_values(hours * part))
        for step in range(hours * 3600 // every)
        if (at := now - timedelta(seconds=hours * 3600 - step * every))
        and int(hours * (part := step * every / (hours * 3600))) not in GAP_HOURS
    ]
    storage.write_samples(gauges=gauges, ids=ids)
    while storage.pack_hours(now=now):
        pass
    storage.write_buckets(buckets=_buckets(deployment, now, hours), ids=ids)
    Collection.objects.update_or_create(
        deployment=deployment, defaults={"next_at": now, "answered_at": now}
    )


def _wave(hour: float, *, low: float, high: float, beats: float = 3) -> float:
    return low + (high - low) * (sin(hour / 24 * beats * 2 * pi) + 1) / 2


def _values(hour: float) -> dict[Name, float]:
    queued = max(0.0, _wave(hour, low=-8, high=14))
    values: dict[Name, float] = {
        ("running", "default"): round(_wave(hour, low=1, high=8)),
        ("queued", "default"): round(queued),
        ("workers", "default"): 1 + (hour % 6 > 3),
        ("workers_wanted", "default"): 1 + (hour % 6 > 3),
        ("runs_running", ""): 2,
        ("pool_slots", "default_pool"): 128,
        ("pool_used", "default_pool"): round(_wave(hour, low=5, high=70)),
        ("pool_waiting", "default_pool"): 0,
        ("pool_slots", "snowflake_load"): 8,
        ("pool_used", "snowflake_load"): min(8, round(_wave(hour, low=2, high=12))),
        ("pool_waiting", "snowflake_load"): max(0, round(_wave(hour, low=-6, high=6))),
        ("database_bytes", ""): 9.0e8 + hour * 2e6,
        ("heartbeat_age", "scheduler"): 45 if 19 < hour < 20 else 3 + hour % 2,
        ("heartbeat_age", "dag-processor"): 4 + hour % 3,
    }
    for number, name in enumerate(COMPONENTS):
        values[("memory_bytes", name)] = _wave(hour, low=3e8, high=6e8 + number * 1e8, beats=5)
        values[("cpu_millis", name)] = _wave(hour + number, low=40, high=700, beats=7)
    return values


def _buckets(deployment: Deployment, now: datetime, hours: int) -> Buckets:
    end = int(now.timestamp()) // 300 * 300
    begin = end - hours * 3600
    values: dict[str, dict[int, float]] = {}
    for place in range(hours * 12):
        hour = place / 12
        told = {
            "runs_succeeded": round(_wave(hour, low=0, high=6)),
            "runs_failed": 2 if 19 < hour < 20 else 0,
            "tasks_succeeded": round(_wave(hour, low=4, high=60)),
            "tasks_failed": 5 if 19 < hour < 20 else 0,
            "tasks_retried": 1 if place % 9 == 0 else 0,
            "delay_p90": _wave(hour, low=1, high=9),
        }
        for one, usual in (("run", 60.0), ("task", 12.0), ("wait", 2.0)):
            told[f"{one}_p50"] = _wave(hour, low=usual, high=usual * 1.5)
            told[f"{one}_p90"] = _wave(hour, low=usual * 2, high=usual * 4, beats=5)
        for metric, value in told.items():
            values.setdefault(metric, {})[begin + 300 * place] = value
    return Buckets(deployment_id=deployment.pk, begin=begin, end=end, values=values)
