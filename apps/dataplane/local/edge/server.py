"""The address of all Airflow UIs of this machine: `/<ref>/…` goes to the API server of Deployment
`ref`.

A process and an origin of its own: a page of an Airflow cannot read pages of the portal, and the
UIs can be reached while the portal is stopped. Bodies stream both ways. Airflow's own address ends
in `/<ref>`, so the prefix stays on the way to it. Sessions in a revoked role end here.

`/_live/stream` is no Airflow's: it goes to the portal's own streams, with neither a cookie nor a
header that names a person.
"""

import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from aiohttp import (
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    UnixConnector,
    web,
)
from aiohttp.connector import BaseConnector
from multidict import CIMultiDict
from yarl import URL

from apps.dataplane.edge.headers import request_headers, response_headers
from apps.dataplane.edge.pages import HOME, add_security_headers, not_found, page, silent
from apps.dataplane.edge.passing import (
    NOT_ADDED,
    UPSTREAM_TIMEOUT,
    pass_on,
    redirect_to_slash,
    ref_of,
)
from apps.dataplane.edge.roles import ANSWER_SECONDS, Question, Roles
from apps.dataplane.edge.strangers import guarded, sign_in_first
from apps.dataplane.local.config import edge_url_of
from apps.dataplane.local.edge.role_lookup import PortalDoor, ask_portal
from apps.dataplane.local.edge.routes import hibernates
from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.embedded_databases import (
    edge_port,
    gateway_socket,
    live_socket,
)
from apps.dataplane.local.machine.ports import LOOPBACK, portal_listener
from apps.dataplane.local.private_files import secret_once

logger = logging.getLogger(__name__)


@dataclass
class Routes:
    """Deployment ref → port, read again when the file changes."""

    file: Path
    _ports: dict[str, int] = field(default_factory=dict)
    _version: tuple[int, int] = (0, 0)

    def port(self, ref: str) -> int | None:
        """Return the port of a Deployment's api-server, None for an unknown one."""
        try:
            status = self.file.stat()
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._version:
                routes = json.loads(self.file.read_text())
                self._ports = {name: int(port) for name, port in routes.items()}
                self._version = version
        except FileNotFoundError:
            self._ports = {}
        except (ValueError, AttributeError, TypeError, RecursionError):
            logger.warning("the edge's routes cannot be read; the last good ones stay in use")
        return self._ports.get(ref)


ROUTES = web.AppKey("routes", Routes)
SESSION = web.AppKey("session", ClientSession)
GATEWAY = web.AppKey("gateway", Path)
GATEWAY_SESSION = web.AppKey("gateway_session", ClientSession)
LIVE = web.AppKey("live", Path)
LIVE_SESSION = web.AppKey("live_session", ClientSession)
ORIGIN = web.AppKey("origin", SplitResult)
PORTAL = web.AppKey("portal", PortalDoor)
SLEEPS: web.AppKey[Callable[[str], bool]] = web.AppKey("sleeps")
ROLES = web.AppKey("roles", Roles)
MOST_QUESTIONS = 4
# No Deployment has a name that begins so.
LIVE_PATH = "/_live/stream"
LIVE_HEADERS = ("Content-Type", "Last-Event-ID")
LIVE_HEADERS_BACK = ("Content-Type", "Cache-Control", "Access-Control-Allow-Origin")
LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}


def make_app(
    routes_file: Path,
    *,
    gateway: Path | None = None,
    live: Path | None = None,
    portal: PortalDoor | None = None,
    origin: str,
    sleeps: Callable[[str], bool] = lambda _ref: False,
) -> web.Application:
    """Return the proxy for the routes in `routes_file`, a JSON object of ref → port.

    Requests for other Deployments go to the socket `gateway`, and those for streams to `live`, when
    something listens there.
    `portal` is asked for a person's role; without it sessions last as long as Airflow allows, and
    strangers are left to Airflow.
    `origin` is the address that browsers see: no other host is served, and Airflow is told it.
    Whoever opens an Airflow that `sleeps` is sent to the portal, which may wake it for them.
    """
    app = web.Application()
    app[ROUTES] = Routes(routes_file)
    app[ORIGIN] = urlsplit(origin)
    app[SLEEPS] = sleeps
    app[GATEWAY] = gateway or routes_file.with_name("no-gateway")
    app[LIVE] = live or routes_file.with_name("no-live")
    app.cleanup_ctx.append(_sessions)
    if portal:
        app[PORTAL], app[HOME] = portal, portal.url_for_browsers
        app.cleanup_ctx.append(_roles)
    app.on_response_prepare.append(add_security_headers)
    app.router.add_route("*", "/{path:.*}", proxy)
    return app


async def proxy(request: web.Request) -> web.StreamResponse:
    if not _is_ours(request):
        return page(
            request,
            421,
            "Another address",
            f"Airflow is at {request.app[ORIGIN].geturl()}. An operator can change that: "
            "PORTAL_AIRFLOW_URL.",
        )
    if request.rel_url.raw_path == LIVE_PATH and request.method == "POST":
        return await _ask_live(request)
    ref = ref_of(request.rel_url)
    if not ref:
        return not_found(request)
    if ROLES not in request.app:
        return await _answered(request, ref)
    return await guarded(
        request,
        ref,
        is_known=await request.app[ROLES].are_known(CIMultiDict(request.headers), ref=ref),
        portal_url=request.app[PORTAL].url_for_browsers(),
        answer=lambda: _answered(request, ref),
    )


async def _answered(request: web.Request, ref: str) -> web.StreamResponse:
    port = request.app[ROUTES].port(ref)
    if port is None:
        return await _ask_gateway(request, ref)
    if redirect := redirect_to_slash(request.rel_url, ref):
        raise redirect
    try:
        address = f"http://{LOOPBACK}:{port}"
        return await _forward(
            request, ref, request.app[SESSION], address, roles=request.app.get(ROLES)
        )
    except (ClientError, TimeoutError, OSError) as error:
        if PORTAL in request.app and request.app[SLEEPS](ref):
            url = request.app[PORTAL].url_for_browsers()
            return sign_in_first(request, ref, portal_url=url)
        logger.warning("airflow %s does not answer: %s", ref, type(error).__name__)
        message = f"Airflow of {ref} does not answer. It may be starting: this page retries."
        return silent(request, message)


def _is_ours(request: web.Request) -> bool:
    """Return whether a request is for the address that the edge serves, however this machine is
    called in it.
    """
    origin = request.app[ORIGIN]
    try:
        asked = urlsplit(f"{origin.scheme}://{request.host}")
        port = asked.port
    except ValueError:
        return False
    if asked.netloc != request.host or "@" in asked.netloc:
        return False
    default = 443 if origin.scheme == "https" else 80
    names = LOOPBACK_NAMES if origin.hostname in LOOPBACK_NAMES else {origin.hostname}
    return asked.hostname in names and (port or default) == (origin.port or default)


async def _ask_live(request: web.Request) -> web.StreamResponse:
    """Pass a stream on. Pages poll where there is none, so a refusal needs no words."""
    headers = {name: request.headers[name] for name in LIVE_HEADERS if name in request.headers}
    body = await request.read()
    try:
        async with request.app[LIVE_SESSION].post(
            f"http://live{LIVE_PATH}", data=body, headers=headers, allow_redirects=False
        ) as upstream:
            answer = CIMultiDict(
                (name, upstream.headers[name])
                for name in LIVE_HEADERS_BACK
                if name in upstream.headers
            )
            return await pass_on(request, upstream, answer, ref="streams")
    except (ClientError, TimeoutError, OSError) as error:
        logger.info("streams are not served: %s", type(error).__name__)
        return web.Response(status=503)


async def _ask_gateway(request: web.Request, ref: str) -> web.StreamResponse:
    if not request.app[GATEWAY].is_socket():
        message = f"There is no Deployment {ref} on this machine, or it has no Airflow yet."
        return page(request, 404, "Not found", message)
    try:
        return await _forward(request, ref, request.app[GATEWAY_SESSION], "http://gateway")
    except (ClientError, TimeoutError, OSError) as error:
        logger.warning("the gateway to clusters does not answer: %s", type(error).__name__)
        message = f"The gateway to Airflow of {ref} does not answer. This page retries."
        return silent(request, message)


async def _forward(
    request: web.Request,
    ref: str,
    session: ClientSession,
    address: str,
    *,
    roles: Roles | None = None,
) -> web.StreamResponse:
    headers = request_headers(
        request.headers.items(),
        ref=ref,
        client=request.remote or "",
        host=request.app[ORIGIN].netloc,
        scheme=request.app[ORIGIN].scheme,
    )
    headers["Host"] = request.app[ORIGIN].netloc
    if roles:
        headers = await roles.held(headers, url=request.rel_url, ref=ref)
    async with session.request(
        request.method,
        URL(f"{address}{request.rel_url.raw_path_qs}", encoded=True),
        headers=headers,
        data=request.content if request.body_exists else None,
        allow_redirects=False,
    ) as upstream:
        answer = response_headers(upstream.headers.items(), ref=ref)
        return await pass_on(request, upstream, answer, ref=ref)


async def _sessions(app: web.Application) -> AsyncIterator[None]:
    # A connection for each request: a pooled one may close just when a POST is sent on it, and
    # loopback costs nothing.
    direct = _session(TCPConnector(limit=0, force_close=True))
    gateway = _session(UnixConnector(path=str(app[GATEWAY]), limit=0, force_close=True))
    live = _session(UnixConnector(path=str(app[LIVE]), limit=0, force_close=True))
    async with direct, gateway, live:
        app[SESSION], app[GATEWAY_SESSION], app[LIVE_SESSION] = direct, gateway, live
        yield


async def _roles(app: web.Application) -> AsyncIterator[None]:
    connector = TCPConnector(limit=MOST_QUESTIONS, force_close=True)
    timeout = ClientTimeout(total=ANSWER_SECONDS)
    async with ClientSession(
        connector=connector, cookie_jar=DummyCookieJar(), timeout=timeout
    ) as session:

        async def ask(question: Question) -> str:
            return await ask_portal(session, app[PORTAL], question)

        app[ROLES] = Roles(ask)
        yield


def _session(connector: BaseConnector) -> ClientSession:
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=UPSTREAM_TIMEOUT,
        skip_auto_headers=NOT_ADDED,
    )


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = Home.from_environment()
    portal_host = os.environ.get("PORTAL_HOST") or LOOPBACK
    host = os.environ.get("PORTAL_EDGE_HOST") or portal_host
    portal = PortalDoor(
        # Read each time: the portal may start again on another port.
        listener=lambda: portal_listener(home, host=portal_host),
        url=os.environ.get("PORTAL_URL", ""),
        secret=secret_once(home.keys / "edge-secret"),
    )
    app = make_app(
        home.edge_routes,
        gateway=gateway_socket(home),
        live=live_socket(home),
        portal=portal,
        origin=edge_url_of(home),
        sleeps=partial(hibernates, home),
    )
    web.run_app(
        app, host=host, port=edge_port(home), access_log=None, print=None, shutdown_timeout=5
    )


if __name__ == "__main__":
    main()
