"""Memory and lag of the watcher process: 1,000 namespaces beside 100, and beside a process that
keeps every object as it came, as informers do.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from django.core.management import call_command

from apps.clusters.connections.sealed import seal_credential
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.config import Connection
from apps.deployments.models import Deployment
from bench.population import populate
from bench.report import Line, at_most

FEW, MANY = 100, 1_000
SETTLE_SECONDS, MEASURE_SECONDS, WAIT_SECONDS = 10, 30, 240


def run() -> tuple[list[Line], list[str]]:
    few, many, kept = _measure(FEW), _measure(MANY), _measure(MANY, program="keep")
    lag = quantiles(many["lags"], n=100)[98]
    memory = many["mib"] / few["mib"]
    beside = many["mib"] / kept["mib"]
    return [
        Line(
            name="watcher, 1,000 namespaces",
            ours=f"{many['mib']:.0f} MiB PSS",
            peer=f"100 namespaces {few['mib']:.0f} MiB",
            ratio=memory,
            **at_most(1.2, memory),
        ),
        Line(
            name="watcher, beside keeping all",
            ours=f"{many['mib']:.0f} MiB PSS",
            peer=f"all objects as they came {kept['mib']:.0f} MiB",
            ratio=beside,
            **at_most(0.3, beside),
        ),
        Line(
            name="watcher, event to row, p99",
            ours=f"{lag:.2f} s",
            peer=f"p50 {median(many['lags']):.2f} s",
            goal="<= 1 s",
            is_met=lag <= 1,
        ),
    ], [f"{len(many['lags'])} observations in {MEASURE_SECONDS} s, {many['cpu']:.0%} of a core"]


def _measure(namespaces: int, *, program: str = "watch") -> dict[str, Any]:
    call_command("flush", interactive=False, verbosity=0)
    population = populate(n_workspaces=5, n_deployments=namespaces, n_users=10)
    cluster = Cluster(
        organization=population.organization, kind=Cluster.Kind.KUBERNETES, name="pretended"
    )
    with _pretended(namespaces, cluster.portal_id) as connection:
        cluster.server, cluster.ca_certificate = connection.server, connection.ca_certificate
        seal_credential(cluster, connection)
        cluster.save(force_insert=True)
        Deployment.objects.update(cluster=cluster, observed_at=None)
        with started("bench.watching_process", program, str(cluster.pk)) as lines:
            seen = 0
            deadline = time.monotonic() + WAIT_SECONDS
            first = next(lines)
            while program == "watch" and seen < namespaces and time.monotonic() < deadline:
                seen += len(json.loads(next(lines))["lags"])
            for _ in range(SETTLE_SECONDS):
                first = next(lines)
            taken = [json.loads(next(lines)) for _ in range(MEASURE_SECONDS)]
    cpu = (taken[-1]["cpu"] - json.loads(first)["cpu"]) / MEASURE_SECONDS
    lags = [lag for one in taken for lag in one["lags"]]
    return {"mib": median(one["mib"] for one in taken), "lags": lags, "cpu": cpu}


@contextmanager
def _pretended(namespaces: int, portal_id: str) -> Iterator[Connection]:
    with started("bench.pretended_cluster", str(namespaces), portal_id) as lines:
        yield Connection(**json.loads(next(lines)))


@contextmanager
def started(*arguments: str) -> Iterator[Iterator[str]]:
    """Run a module and yield its output line by line."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        # As the portal starts its programs.
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )
    if process.stdout is None:
        raise RuntimeError("It has no output.")
    try:
        yield iter(process.stdout)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
