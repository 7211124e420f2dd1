"""One log with 1,000 viewers, beside a server of aiohttp that does nothing but write to each.

Both run in a process of their own and send the same bytes once a second. Rights are granted without
the database: they are asked for once a viewer, then once a minute.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import aiohttp

from apps.observability.live import tickets
from apps.observability.live.tickets import Ticket
from bench.report import Line

N_VIEWERS, SECONDS, SETTLE_SECONDS, START_SECONDS = 1_000, 20.0, 4.0, 60.0
MOST_OF_BARE, MOST_KIB, MOST_LAG_MS = 2.0, 20.0, 250.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """CPU in seconds for each second, memory of a viewer in KiB, lag in ms of nine and ninety of a
    hundred events, and how often the log was read in a second.
    """

    cpu: float
    kib: float
    lag: float
    reads: float
    n_events: int


def run() -> tuple[list[Line], list[str]]:
    bare, ours = (asyncio.run(_measure(program)) for program in ("bare", "ours"))
    ratio, more = ours.cpu / bare.cpu, ours.lag - bare.lag
    return [
        Line(
            name="streams of 1,000 viewers",
            ours=f"{ours.cpu:.1%} of a core",
            peer=f"bare aiohttp {bare.cpu:.1%}",
            ratio=ratio,
            goal=f"<= {MOST_OF_BARE:g}x",
            is_met=ratio <= MOST_OF_BARE,
        ),
        Line(
            name="memory of a viewer",
            ours=f"{ours.kib:.1f} KiB",
            peer=f"bare aiohttp {bare.kib:.1f} KiB",
            goal=f"<= {MOST_KIB:g} KiB",
            is_met=ours.kib <= MOST_KIB,
        ),
        Line(
            name="lag of an event, p99",
            ours=f"{ours.lag:.0f} ms",
            peer=f"bare aiohttp {bare.lag:.0f} ms",
            goal=f"<= {MOST_LAG_MS:g} ms more",
            is_met=more <= MOST_LAG_MS,
        ),
        Line(
            name="reads of the log",
            ours=f"{ours.reads:.2f} a second",
            goal="<= 1.1",
            is_met=ours.reads <= 1.1,
        ),
    ], [f"{ours.n_events:,} and {bare.n_events:,} events in {SECONDS:g} s"]


async def _measure(program: str) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s")
        async with _serving(program, path) as client:
            empty = await _told(client)
            lags: list[float] = []
            tasks = [asyncio.create_task(_view(client, n, lags)) for n in range(N_VIEWERS)]
            await _all_there(client)
            await asyncio.sleep(SETTLE_SECONDS)
            lags.clear()
            before, began = await _told(client), time.monotonic()
            await asyncio.sleep(SECONDS)
            after, took = await _told(client), time.monotonic() - began
            seen = list(lags)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return Figures(
        cpu=(after["cpu"] - before["cpu"]) / took,
        kib=(after["kib"] - empty["kib"]) / N_VIEWERS,
        lag=quantiles(seen, n=100)[98] * 1000,
        reads=(after["reads"] - before["reads"]) / took,
        n_events=len(seen),
    )


@asynccontextmanager
async def _serving(program: str, path: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a server until the end, and yield a client of it."""
    process = subprocess.Popen([sys.executable, "-m", "bench.stream_servers", program, path])  # noqa: ASYNC220 - at the start
    try:
        until = time.monotonic() + START_SECONDS
        while not Path(path).exists() and time.monotonic() < until:
            await asyncio.sleep(0.2)
        connector = aiohttp.UnixConnector(path, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


async def _told(client: aiohttp.ClientSession) -> dict[str, float]:
    async with client.get("http://bench/figures") as answer:
        found: dict[str, float] = json.loads(await answer.text())
        return found


async def _all_there(client: aiohttp.ClientSession) -> None:
    until = time.monotonic() + START_SECONDS
    while (await _told(client))["viewers"] < N_VIEWERS:
        if time.monotonic() > until:
            raise TimeoutError("the viewers do not arrive")
        await asyncio.sleep(0.5)


async def _view(client: aiohttp.ClientSession, number: int, lags: list[float]) -> None:
    ticket = Ticket(session_id=str(number), deployment_id=1, component="scheduler")
    with suppress(aiohttp.ClientError):
        async with client.post(
            "http://bench/_live/stream", data={"ticket": tickets.sign(ticket)}
        ) as answer:
            async for line in answer.content:
                if line.startswith(b"data: at "):
                    lags.append(time.monotonic() - float(line[9:]))
