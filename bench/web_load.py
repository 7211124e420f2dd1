"""The web server under load: list, Deployment, form and charts by turns, from eight clients at
once, beside Django's admin and an empty view on the same server.

First as fast as it answers, then at 70 % of that, which is where waiting times say something.
"""

import http.client
import itertools
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from django.conf import settings
from django.urls import reverse

from apps.access.grants.services import grant
from apps.access.models import Role
from apps.accounts.models import User
from bench.history import fill_month
from bench.population import Population, populate
from bench.prometheus import free_port
from bench.quiet import control_noise
from bench.report import Line, at_least, at_most
from bench.visitor import client_of

N_CLIENTS, N_ROUNDS, SECONDS, LOADED_SECONDS, START_SECONDS = 8, 5, 3.0, 15.0, 60.0
SHARE = 0.7
LEAST_OF_ADMIN, MOST_OF_MEDIAN = 4, 4


@dataclass(frozen=True)
class Load:
    """What came of one kind of load: seconds of each answer, and how many were none."""

    took: Sequence[float]
    n_failed: int
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds


def run() -> tuple[list[Line], list[str]]:
    population = populate()
    addresses = _addresses(population)
    with _serving() as port:
        visitors = Visitors(port, _cookie(population.reader))
        for pages in addresses.values():
            visitors.load(pages, seconds=1)  # the first answers fill caches
        loads = _by_turns(visitors, addresses)
        rates = {name: [one.rate for one in found] for name, found in loads.items()}
        loaded = visitors.load(
            addresses["mixed"], seconds=LOADED_SECONDS, rate=SHARE * median(rates["mixed"])
        )
    n_failed = loaded.n_failed + sum(one.n_failed for found in loads.values() for one in found)
    return [_throughput(rates), *_waiting(loaded, n_failed)], [*control_noise(rates["empty"])]


def _addresses(population: Population) -> dict[str, list[str]]:
    shown = population.deployments[0]
    owner = Role.objects.get(scope="organization", key="owner")
    grant(actor=None, user=population.reader, role=owner, on=population.organization)
    fill_month(shown)
    mixed = [
        reverse("deployments:list", args=[population.workspaces[0].slug]),
        reverse("deployments:overview", args=[shown.ref]),
        reverse("deployments:configure", args=[shown.ref]),
        f"{reverse('observability:analytics', args=[shown.ref])}?range=30d",
        f"{reverse('observability:analytics_points', args=[shown.ref])}?range=30d",
    ]
    return {
        "mixed": mixed,
        "admin": ["/bench/admin/deployments/deployment/"],
        "empty": ["/bench/empty/"],
    }


def _by_turns(visitors: "Visitors", addresses: dict[str, list[str]]) -> dict[str, list[Load]]:
    found: dict[str, list[Load]] = {name: [] for name in addresses}
    names = list(addresses)
    for number in range(N_ROUNDS):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(visitors.load(addresses[name], seconds=SECONDS))
    return found


def _throughput(rates: dict[str, list[float]]) -> Line:
    ratios = [mine / other for mine, other in zip(rates["mixed"], rates["admin"], strict=True)]
    ours, admin, empty = (median(rates[name]) for name in ("mixed", "admin", "empty"))
    return Line(
        name="web-load, pages by turns",
        ours=f"{ours:.0f} requests/s",
        peer=f"admin {admin:.0f}, empty view {empty:.0f}",
        ratio=median(ratios),
        spread=(min(ratios), max(ratios)),
        **at_least(LEAST_OF_ADMIN, median(ratios)),
    )


def _waiting(loaded: Load, n_failed: int) -> list[Line]:
    cuts = quantiles(loaded.took, n=100)
    half, most = cuts[49], cuts[98]
    return [
        Line(
            name=f"web-load, waiting at {SHARE:.0%}",
            ours=f"p99 {most * 1000:.0f} ms",
            peer=f"p50 {half * 1000:.0f} ms, {loaded.rate:.0f} requests/s",
            ratio=most / half,
            **at_most(MOST_OF_MEDIAN, most / half),
        ),
        Line(name="web-load, errors", ours=str(n_failed), goal="0", is_met=n_failed == 0),
    ]


class Visitors:
    """Clients that each keep a connection and ask for the next page when the last has come."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port, self.headers = port, {"Cookie": cookie}

    def load(self, pages: Sequence[str], *, seconds: float, rate: float | None = None) -> Load:
        """Ask for the pages by turns, at most `rate` times a second in all."""
        took: list[float] = []
        failed: list[str] = []
        pause = N_CLIENTS / rate if rate else 0.0
        began = time.perf_counter()

        def visit(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            for turn in itertools.count():
                due = began + (turn + number / N_CLIENTS) * pause
                time.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() - began > seconds:
                    break
                self._ask(connection, pages[(turn + number) % len(pages)], took, failed)
            connection.close()

        threads = [threading.Thread(target=visit, args=[number]) for number in range(N_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Load(took, len(failed), time.perf_counter() - began)

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        page: str,
        took: list[float],
        failed: list[str],
    ) -> None:
        began = time.perf_counter()
        try:
            connection.request("GET", page, headers=self.headers)
            answer = connection.getresponse()
            answer.read()
            is_good = answer.status == 200
        except (OSError, http.client.HTTPException):
            connection.close()
            is_good = False
        if is_good:
            took.append(time.perf_counter() - began)
        else:
            failed.append(page)


def _cookie(user: User) -> str:
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client_of(user).cookies[name].value}"


@contextmanager
def _serving() -> Iterator[int]:
    """Run the portal's web server as the launcher does, until the end; yield its port."""
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
    command += ["--worker-class", "apps.core.web.worker.PatientWorker"]
    command += ["--no-control-socket", "astro_portal.wsgi"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).resolve().parent.parent,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/bench/empty/", timeout=5).close()  # noqa: S310 - loopback
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
