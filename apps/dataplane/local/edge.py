"""The address of all Airflow UIs of this machine: `/<ref>/…` goes to the API server of Deployment
`ref`.

A process and an origin of its own: a page of an Airflow cannot read pages of the portal, and the
UIs can be reached while the portal is stopped. Bodies stream both ways. Airflow's own address ends
in `/<ref>`, so the prefix stays on the way to it.
"""

import html
import json
import logging
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from yarl import URL

from apps.dataplane.local.edge_headers import is_odd, request_headers, response_headers
from apps.dataplane.local.home import Home
from apps.dataplane.local.ports import LOOPBACK
from apps.dataplane.local.services import edge_port

logger = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Server": "astro-portal-edge",
}
REF = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
CHUNK_BYTES = 64 * 1024
# An answer may pause for long: the log of a running task is one that goes on until the task ends.
UPSTREAM_TIMEOUT = ClientTimeout(total=None, sock_connect=3, sock_read=300)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
{refresh}<title>{title}</title><style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
main {{ max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem }}
h1 {{ font-size: 1.25rem }}
</style></head><body><main><h1>{title}</h1><p>{sentence}</p></main></body></html>
"""
REFRESH = '<meta http-equiv="refresh" content="5">'


@dataclass
class Routes:
    """Deployment ref → port, read again when the file changes."""

    file: Path
    _ports: dict[str, int] = field(default_factory=dict)
    _version: tuple[int, int] = (0, 0)

    def port(self, ref: str) -> int | None:
        try:
            status = self.file.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._version:
                routes = json.loads(self.file.read_text())
                self._ports = {name: int(port) for name, port in routes.items()}
                self._version = version
        except FileNotFoundError:
            self._ports = {}
        except (ValueError, AttributeError, TypeError):
            logger.warning("the edge's routes cannot be read; the last good ones stay in use")
        return self._ports.get(ref)


ROUTES = web.AppKey("routes", Routes)
SESSION = web.AppKey("session", ClientSession)
SCHEME = web.AppKey("scheme", str)


def make_app(routes_file: Path, *, scheme: str = "http") -> web.Application:
    """Return the proxy for the routes in `routes_file`, a JSON object of ref → port.

    `scheme` is that of the address which browsers see, told to Airflow.
    """
    app = web.Application()
    app[ROUTES] = Routes(routes_file)
    app[SCHEME] = scheme
    app.cleanup_ctx.append(_session)
    app.on_response_prepare.append(_add_security_headers)
    app.router.add_route("*", "/{path:.*}", proxy)
    return app


async def proxy(request: web.Request) -> web.StreamResponse:
    ref, slash, _ = request.rel_url.raw_path.removeprefix("/").partition("/")
    if not REF.fullmatch(ref) or is_odd(request.rel_url):
        return _page(request, 404, "Not found", "This address does not belong to any Deployment.")
    port = request.app[ROUTES].port(ref)
    if port is None:
        sentence = f"There is no Deployment {ref} on this machine, or it has no Airflow yet."
        return _page(request, 404, "Not found", sentence)
    if not slash:
        raise web.HTTPTemporaryRedirect(location=URL(f"/{ref}/").with_query(request.rel_url.query))
    try:
        return await _forward(request, ref, port)
    except (ClientError, TimeoutError, OSError) as error:
        logger.warning("airflow %s does not answer: %s", ref, type(error).__name__)
        sentence = f"Airflow of {ref} does not answer. It may be starting: this page tries again."
        return _page(request, 502, "Airflow does not answer", sentence)


async def _forward(request: web.Request, ref: str, port: int) -> web.StreamResponse:
    headers = request_headers(
        request.headers.items(),
        ref=ref,
        client=request.remote or "",
        host=request.host,
        scheme=request.app[SCHEME],
    )
    async with request.app[SESSION].request(
        request.method,
        URL(f"http://{LOOPBACK}:{port}{request.rel_url.raw_path_qs}", encoded=True),
        headers=headers,
        data=request.content if request.body_exists else None,
        allow_redirects=False,
    ) as upstream:
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        response.headers.extend(response_headers(upstream.headers.items(), ref=ref))
        await response.prepare(request)
        try:
            async for chunk in upstream.content.iter_chunked(CHUNK_BYTES):
                await response.write(chunk)
            await response.write_eof()
        except (ClientError, TimeoutError, OSError) as error:
            # The answer has begun; ending the connection is the only way left to say that it is cut
            # short.
            logger.info("an answer of %s was cut short: %s", ref, type(error).__name__)
            if request.transport:
                request.transport.abort()
        return response


def _page(request: web.Request, status: int, title: str, sentence: str) -> web.Response:
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response({"detail": sentence}, status=status)
    refresh = REFRESH if status == 502 and request.method == "GET" else ""
    text = PAGE.format(refresh=refresh, title=title, sentence=html.escape(sentence))
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    response.headers["Cache-Control"] = "no-store"
    return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    # A connection each: a kept one may end just when a POST is sent on it, and loopback costs
    # nothing.
    async with ClientSession(
        connector=TCPConnector(limit=0, force_close=True),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=UPSTREAM_TIMEOUT,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        app[SESSION] = session
        yield


async def _add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = Home.from_environment()
    host = os.environ.get("PORTAL_EDGE_HOST") or os.environ.get("PORTAL_HOST") or LOOPBACK
    scheme = urlsplit(os.environ.get("PORTAL_AIRFLOW_URL", "")).scheme or "http"
    app = make_app(home.edge_routes, scheme=scheme)
    web.run_app(
        app, host=host, port=edge_port(home), access_log=None, print=None, shutdown_timeout=5
    )


if __name__ == "__main__":
    main()
