"""A public status page, from the copy behind the portal's own server, beside the smallest server.

Both are gunicorn with the portal's workers, and send as many bytes. Visitors are processes with
connections that stay open, as those of a proxy do. The shelf of copies looks for newer ones every
three seconds; a visit asks the database nothing.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from statistics import median

import psutil
from django.db import connection
from django.utils import timezone

from apps.organizations.models import Organization
from apps.status_pages.copies.writing import write_copy
from apps.status_pages.setup.models import Component, StatusPage
from bench.prometheus import free_port
from bench.quiet import control_noise
from bench.report import Line, at_least

N_COMPONENTS, N_CONNECTIONS, N_ROUNDS, SECONDS, START_SECONDS = 20, 2, 5, 4.0, 60.0
LEAST_RATE, LEAST_OF_BARE, MOST_KB = 2_000, 0.5, 20
PATH = "/status/bench/"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_COUNT = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = %s"


@dataclass(frozen=True)
class Load:
    """Answers, and CPU seconds of the server."""

    n_answers: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.n_answers / self.seconds

    @property
    def of_core(self) -> float:
        return self.n_answers / self.cpu


def run() -> tuple[list[Line], list[str]]:
    _publish()
    loads: dict[str, list[Load]] = {"ours": [], "bare": []}
    with (
        _serving("astro_portal.wsgi") as ours,
        _serving("bench.bare_page:application") as bare,
    ):
        programs = {"ours": ours, "bare": bare}
        size = _ask_once(ours[0])
        for port, _ in programs.values():
            _load(port, 1.0)
        n_asked = _n_transactions()
        for number in range(N_ROUNDS):
            for name in sorted(programs, reverse=bool(number % 2)):
                port, process = programs[name]
                loads[name].append(_measured(port, process))
        n_asked = _n_transactions() - n_asked
    n_visits = sum(one.n_answers for one in loads["ours"])
    return _lines(loads, n_asked, n_visits, size), control_noise(
        [one.rate for one in loads["bare"]]
    )


def _lines(loads: dict[str, list[Load]], n_asked: int, n_visits: int, size: int) -> list[Line]:
    ratios = [
        mine.of_core / other.of_core
        for mine, other in zip(loads["ours"], loads["bare"], strict=True)
    ]
    rate, core = (
        median(getattr(one, name) for one in loads["ours"]) for name in ("rate", "of_core")
    )
    bare = median(one.of_core for one in loads["bare"])
    return [
        Line(
            name="status page, visits",
            ours=f"{rate:.0f} a second",
            peer=f"{median(one.rate for one in loads['bare']):.0f} of a bare server",
            goal=f">= {LEAST_RATE:,} a second",
            is_met=rate >= LEAST_RATE,
        ),
        Line(
            name="status page, visits of a core",
            ours=f"{core:.0f}",
            peer=f"bare server {bare:.0f}",
            ratio=median(ratios),
            spread=(min(ratios), max(ratios)),
            **at_least(LEAST_OF_BARE, median(ratios)),
        ),
        Line(
            name="status page, queries of a visit",
            ours=f"{n_asked} for {n_visits:,}",
            goal="0, but for looks",
            is_met=n_asked < 20 * N_ROUNDS,
        ),
        Line(
            name="status page, compressed",
            ours=f"{size / 1000:.1f} kB",
            goal=f"<= {MOST_KB} kB",
            is_met=size <= MOST_KB * 1000,
        ),
    ]


def _publish() -> None:
    organization = Organization.objects.create(name="Bench", slug="bench")
    page = StatusPage.objects.create(
        organization=organization, name="Bench status", address="bench", is_on=True
    )
    Component.objects.bulk_create(
        Component(page=page, name=f"Component {number}", source="portal", position=number)
        for number in range(N_COMPONENTS)
    )
    write_copy(page=page, now=timezone.now())


def _measured(port: int, process: psutil.Process) -> Load:
    before, began = _cpu(process), time.perf_counter()
    n_answers = _load(port, SECONDS)
    return Load(n_answers, time.perf_counter() - began, _cpu(process) - before)


def _load(port: int, seconds: float) -> int:
    with Pool(N_CONNECTIONS) as pool:
        return sum(pool.starmap(_visit, [(port, seconds)] * N_CONNECTIONS))


def _visit(port: int, seconds: float) -> int:
    """Ask for the page again and again over one connection; return how often it came."""
    request = (
        f"GET {PATH} HTTP/1.1\r\nHost: localhost:8080\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    count, until = 0, time.perf_counter() + seconds
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        while time.perf_counter() < until:
            sock.sendall(request)
            _answer(sock)
            count += 1
    return count


def _answer(sock: socket.socket) -> int:
    """Read one answer; return the bytes of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or found is None:
        raise RuntimeError(f"no page: {head[:80]!r}")
    size, left = int(found[1]), int(found[1]) - len(body)
    while left > 0:
        left -= len(_some(sock))
    return size


def _some(sock: socket.socket) -> bytes:
    data = sock.recv(65_536)
    if not data:
        raise ConnectionResetError
    return data


def _ask_once(port: int) -> int:
    request = (
        f"GET {PATH} HTTP/1.1\r\nHost: localhost:8080\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        return _answer(sock)


def _n_transactions() -> int:
    """Count the transactions of the database, once what was counted apart has arrived."""
    time.sleep(2)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(_COUNT, [connection.settings_dict["NAME"]])
        return int(cursor.fetchone()[0])


def _cpu(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in everyone)


@contextmanager
def _serving(application: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run a server as the launcher runs the portal's; yield its port and its process."""
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
    command += ["--worker-class", "apps.core.web.worker.PatientWorker"]
    command += ["--no-control-socket", application]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).resolve().parent.parent,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(port)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            _ask_once(port)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
