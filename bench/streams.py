"""A log that a thousand tabs follow: processor time of our server beside that of a bare one.

The bare one writes the same events to whoever is connected, and knows nothing of tickets, rights,
choices, positions or slow readers. Both run in a process of their own, on a socket of this machine.
"""

import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlencode

import psutil
from aiohttp import web

from apps.observability.live import followers, rights, server, tickets
from apps.observability.live.followers import Chosen, Log, Written
from apps.observability.live.hub import Hub
from apps.observability.live.tickets import Ticket
from apps.observability.live.viewers import event
from bench.report import Line

VIEWERS, EVENTS, PAUSE_SECONDS = 1_000, 60, 0.1
MOST_RATIO = 2.0
# About what ten lines of a log are as HTML.
HTML = '<li id="L0"><span></span><span>a line of a log, neither short nor long</span></li>\n' * 10


def run() -> tuple[list[Line], list[str]]:
    raise_limit()
    ours, our_mib = measured(serve_ours)
    bare, bare_mib = measured(serve_bare)
    ratio = ours / bare
    line = Line(
        name=f"{VIEWERS:,} followers of a log, processor time",
        ours=f"{ours * 1e6:.0f} µs an event and viewer",
        peer=f"a bare server {bare * 1e6:.0f} µs",
        ratio=ratio,
        goal=f"<= {MOST_RATIO:g}x",
        is_met=ratio <= MOST_RATIO,
    )
    note = f"{VIEWERS:,} viewers took {our_mib:.0f} MiB, of the bare server {bare_mib:.0f} MiB."
    return [line], [note]


def raise_limit() -> None:
    """A connection is an open file, at both ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 3 * VIEWERS), most))


def measured(serve: Callable[[str], None]) -> tuple[float, float]:
    """Return the seconds of a processor that one event for one viewer takes, and the MiB that all
    viewers together take.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/bench.sock"
        process = multiprocessing.get_context("fork").Process(target=serve, args=[socket])
        process.start()
        try:
            return asyncio.run(_watch(socket, psutil.Process(process.pid)))
        finally:
            process.terminate()
            process.join(20)


async def _watch(socket: str, process: psutil.Process) -> tuple[float, float]:
    while not Path(socket).exists():
        await asyncio.sleep(0.05)
    before = process.memory_info().rss
    readers = []
    for _ in range(VIEWERS):
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(_request())
        readers.append((reader, writer))
    await asyncio.gather(*(_count(reader, 2) for reader, _ in readers))
    used = (process.memory_info().rss - before) / 2**20
    began = _seconds(process)
    await asyncio.gather(*(_count(reader, EVENTS) for reader, _ in readers))
    seconds = _seconds(process) - began
    for _, writer in readers:
        writer.close()
    return seconds / VIEWERS / EVENTS, used


def _request() -> bytes:
    ticket = Ticket(session_id="1", deployment_id=1, component="scheduler")
    body = urlencode({"ticket": tickets.sign(ticket)}).encode()
    head = f"POST {server.PATH} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n".encode() + body


async def _count(reader: asyncio.StreamReader, wanted: int) -> None:
    found = 0
    while found < wanted:
        data = await reader.read(2**16)
        if not data:
            raise RuntimeError("The server ended a stream.")
        found += data.count(b"event: lines")


def _seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def serve_ours(socket: str) -> None:
    """Serve one log that grows, as the portal does, for whoever comes."""
    digests = iter(range(10**6))
    with (
        patch.object(rights, "granted", lambda _: str(next(digests))),
        patch.object(followers, "READ_SECONDS", PAUSE_SECONDS / 2),
    ):
        asyncio.run(_serve(server.make_app(Hub(_Growing())), socket))


class _Growing:
    """A log in which something new stands at each beat of the clock."""

    async def __call__(self, log: Log, place: str, wanted: frozenset[Chosen]) -> Written:
        now = str(int(time.monotonic() / PAUSE_SECONDS))
        html = HTML if now != place else ""
        return Written(html=dict.fromkeys(wanted, html), place=now, cursor=f"{now:>80}")


def serve_bare(socket: str) -> None:
    """Serve the same events with nothing around them."""
    asyncio.run(_serve_bare(socket))


async def _serve_bare(socket: str) -> None:
    data, grown = event("lines", HTML, id="x" * 80), asyncio.Condition()

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers=server.HEADERS)
        await response.prepare(request)
        while True:
            async with grown:
                await grown.wait()
            await response.write(data)

    async def grow() -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            async with grown:
                grown.notify_all()

    app = web.Application()
    app.router.add_post(server.PATH, stream)
    growing = asyncio.create_task(grow())
    await _serve(app, socket)
    growing.cancel()


async def _serve(app: web.Application, socket: str) -> None:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    while True:
        await asyncio.sleep(0.5)
