"""The servers that `bench.fan_out` compares, as programs.

python -m bench.stream_servers ours | bare SOCKET
"""

import asyncio
import sys
import time

import django
import psutil
from aiohttp import web

django.setup()

from apps.observability.live import rights  # noqa: E402 - after django.setup()
from apps.observability.live.followers import Chosen, Log, Written  # noqa: E402 - after django.setup()
from apps.observability.live.hub import Hub  # noqa: E402 - after django.setup()
from apps.observability.live.server import HEADERS, PATH, make_app  # noqa: E402 - after django.setup()
from apps.observability.live.viewers import event  # noqa: E402 - after django.setup()

LINES = "\n".join(f"<li><span>line {n} of a log, of usual length</span></li>" for n in range(12))
_reads = [0]


def _html() -> str:
    return f"at {time.monotonic():.6f}\n{LINES}"


async def _read(log: Log, place: str, wanted: frozenset[Chosen]) -> Written:
    _reads[0] += 1
    # Those who read to the end of a log come to the same place.
    here, html = f"place {int(time.monotonic())}", _html()
    return Written(html=dict.fromkeys(wanted, html), place=here, cursor=here)


def ours() -> web.Application:
    rights.granted = lambda claim: claim.session_id
    hub = Hub(_read)
    app = make_app(hub)
    _tell_figures(app, lambda: hub.counts()["viewers"])
    return app


def bare() -> web.Application:
    app, viewers = web.Application(), set[int]()

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.post()
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        viewers.add(id(request))
        try:
            while True:
                await response.write(event("lines", _html()))
                await asyncio.sleep(1)
        finally:
            viewers.discard(id(request))

    app.router.add_post(PATH, stream)
    _tell_figures(app, lambda: len(viewers))
    return app


def _tell_figures(app: web.Application, viewers: object) -> None:
    process = psutil.Process()

    async def figures(request: web.Request) -> web.Response:
        times = process.cpu_times()
        return web.json_response(
            {
                "cpu": times.user + times.system,
                "kib": process.memory_info().rss / 1024,
                "reads": _reads[0],
                "viewers": viewers(),  # type: ignore[operator]
            }
        )

    app.router.add_get("/figures", figures)


if __name__ == "__main__":
    make = {"ours": ours, "bare": bare}[sys.argv[1]]
    web.run_app(make(), path=sys.argv[2], print=None, handler_cancellation=True)
