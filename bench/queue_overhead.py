"""Reconcile jobs through a real worker and a real broker, beside Celery jobs that do nothing.

Two kinds of job: a hint that comes too late, as every duplicate does (it asks for the lease and
ends), and a whole pass over a settled Deployment. The floor of the first is a job with one query.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from statistics import median

import psutil
import redis
from django.conf import settings
from django.db.models.functions import Now

from apps.deployments.models import Deployment
from apps.deployments.tasks import reconcile
from bench.bare_jobs import nothing, one_query
from bench.population import populate
from bench.quiet import control_noise
from bench.report import Line, at_least

N_ROUNDS = 5
N_JOBS = 2_000 // N_ROUNDS
PREFIX = "portal:"
WAIT_SECONDS = 120


def run() -> tuple[list[Line], list[str]]:
    population = populate(n_workspaces=5, n_deployments=200, n_users=10, in_first_workspace=40)
    ids = [deployment.pk for deployment in population.deployments]
    kinds: dict[str, Callable[[int], object]] = {
        "late": lambda number: reconcile.apply_async(args=[ids[number % len(ids)]]),
        "bare": lambda number: nothing.apply_async(args=[number]),
        "floor": lambda number: one_query.apply_async(args=[number]),
        "pass": lambda number: reconcile.apply_async(args=[ids[number % len(ids)]]),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    with running_worker() as worker, redis.Redis.from_url(settings.REDIS_URL) as broker:
        for kind in kinds:
            _measure(kinds[kind], broker, worker, n_jobs=100)  # a warm worker
        for number in range(N_ROUNDS):
            names = list(kinds)
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                _hold_leases(is_held=name == "late")
                rate, seconds = _measure(kinds[name], broker, worker, n_jobs=N_JOBS)
                rates[name].append(rate)
                cpu[name].append(seconds)
    lines = [_line(rates, cpu, name) for name in ("late", "pass", "floor")]
    return lines, [*control_noise(rates["bare"])]


def _line(rates: dict[str, list[float]], cpu: dict[str, list[float]], name: str) -> Line:
    ratios = [ours / bare for ours, bare in zip(rates[name], rates["bare"], strict=True)]
    value = median(ratios)
    titles = {
        "late": "queue-overhead",
        "pass": "queue-overhead, whole pass",
        "floor": "queue-overhead, floor: one query",
    }
    goal = at_least(0.9, value) if name == "late" else {}
    return Line(
        name=titles[name],
        ours=_words(rates[name], cpu[name]),
        peer=f"bare Celery {_words(rates['bare'], cpu['bare'])}",
        ratio=value,
        spread=(min(ratios), max(ratios)),
        **goal,
    )


def _words(rates: list[float], cpu: list[float]) -> str:
    return f"{median(rates):.0f} jobs/s, {median(cpu) * 1000:.1f} ms CPU"


def _hold_leases(*, is_held: bool) -> None:
    """Let another worker hold the lease of every Deployment, or of none."""
    until = Now() + timedelta(hours=1) if is_held else None
    Deployment.objects.update(lease_until=until, lease_token=None, unfinished_passes=0)


def _measure(
    send: Callable[[int], object], broker: "redis.Redis", worker: psutil.Process, *, n_jobs: int
) -> tuple[float, float]:
    """Return jobs per second, and the worker's CPU seconds per job."""
    cpu_began, began = _cpu_seconds(worker), time.perf_counter()
    for number in range(n_jobs):
        send(number)
    deadline = time.monotonic() + WAIT_SECONDS
    while broker.llen(f"{PREFIX}background") or broker.hlen(f"{PREFIX}unacked"):
        if time.monotonic() > deadline:
            raise RuntimeError("The worker did not finish its jobs in time.")
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    return n_jobs / seconds, (_cpu_seconds(worker) - cpu_began) / n_jobs


def _cpu_seconds(worker: psutil.Process) -> float:
    family = [worker, *worker.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family)


@contextmanager
def running_worker(queues: str = "background") -> Iterator[psutil.Process]:
    """Run a worker with two children on `queues`."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "--app",
        "astro_portal",
        "worker",
        "--concurrency",
        "2",
        "--queues",
        queues,
    ]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "ERROR"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
