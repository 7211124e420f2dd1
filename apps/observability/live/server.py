"""The HTTP server of streams. Browsers come through the edge or an Ingress; no cookie is looked at.

Any origin may read an answer: whoever has a ticket has it from a page of the portal.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from apps.observability.live import tickets
from apps.observability.live.hub import Hub, NotAdmitted
from apps.observability.live.reading import LogReader
from apps.observability.live.viewers import Viewer

logger = logging.getLogger(__name__)

PATH = "/_live/stream"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": "*",
    # nginx keeps answers back otherwise.
    "X-Accel-Buffering": "no",
}
# A ticket and a cursor, which names a place in each pod's log.
MOST_BODY_BYTES = 64 * 1024
HUB = web.AppKey("hub", Hub)


def make_app(hub: Hub) -> web.Application:
    """Return the server of a hub that runs."""
    app = web.Application(client_max_size=MOST_BODY_BYTES)
    app[HUB] = hub
    app.router.add_post(PATH, stream)
    app.router.add_get("/healthz", healthz)
    return app


async def healthz(request: web.Request) -> web.Response:
    return web.json_response(request.app[HUB].counts())


async def stream(request: web.Request) -> web.StreamResponse:
    said = await request.post()
    ticket = tickets.read(str(said.get("ticket", "")))
    after = request.headers.get("Last-Event-ID") or str(said.get("after", ""))
    if ticket is None:
        return _refused(403)
    try:
        viewer = await request.app[HUB].admit(ticket, after=after)
    except NotAdmitted as error:
        return _refused(error.status)
    try:
        return await _send(request, viewer)
    finally:
        request.app[HUB].leave(viewer)


async def _send(request: web.Request, viewer: Viewer) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    viewer.drop = lambda: _drop(request, viewer)
    # It left, or was dropped.
    with suppress(ConnectionError):
        while data := await viewer.next():
            await response.write(data)
        await response.write_eof()
    return response


def _drop(request: web.Request, viewer: Viewer) -> None:
    """Close a connection whose other end does not read: what it has not read is not kept."""
    logger.info("a slow reader was dropped", extra={"deployment": viewer.ticket.deployment_id})
    if request.transport:
        request.transport.abort()


def _refused(status: int) -> web.Response:
    """Refuse with a bare status: the page polls, and that says why."""
    return web.Response(status=status, headers={"Access-Control-Allow-Origin": "*"})


@asynccontextmanager
async def serving(*, listen: str = "", socket: Path | None = None) -> AsyncIterator[Hub]:
    """Serve streams at `host:port`, or behind the edge of this machine at a socket. Raises OSError
    when it cannot listen there.
    """
    read = LogReader()
    hub = Hub(read)
    runner = web.AppRunner(
        make_app(hub), access_log=None, shutdown_timeout=3, handler_cancellation=True
    )
    await runner.setup()
    hub.start()
    try:
        if socket is not None:
            await web.UnixSite(runner, str(socket)).start()
        else:
            host, _, port = listen.rpartition(":")
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        logger.info("streams can be opened")
        yield hub
    finally:
        await hub.close()
        await runner.cleanup()
        read.close()
        if socket is not None:
            socket.unlink(missing_ok=True)
