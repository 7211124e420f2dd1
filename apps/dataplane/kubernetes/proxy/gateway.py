"""The gateway to the Airflow UIs on clusters: `/<ref>/…` goes through the service proxy of the
cluster that runs Deployment `ref`.

One connection and one credential for each cluster, the portal's own; neither reaches a browser or
an Airflow. It serves the origin of all Airflows itself where the portal runs on Kubernetes, and
runs behind the local edge on one machine.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import ClientConnectorCertificateError, ClientError, ClientResponse, ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from apps.dataplane.clouds.identities import CloudIdentity
from apps.dataplane.clouds.tokens import kept_tokens, token_for
from apps.dataplane.edge.headers import request_headers, response_headers
from apps.dataplane.edge.pages import HOME, add_security_headers, not_found, page, silent
from apps.dataplane.edge.passing import CHUNK_BYTES, pass_on, redirect_to_slash, ref_of
from apps.dataplane.edge.roles import Ask, Roles
from apps.dataplane.edge.strangers import guarded, sign_in_first
from apps.dataplane.errors import DataPlaneError
from apps.dataplane.kubernetes.api.tls import untrusted
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.proxy.service_proxy import (
    AIRFLOW_PORT,
    LARGEST_STATUS_BYTES,
    Refusal,
    for_browser,
    for_cluster,
    is_html,
    is_way_closed,
    may_be_refusal,
    own_html,
    proxy_path,
    refusal,
)
from apps.dataplane.kubernetes.proxy.sessions import Sessions

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LARGEST_BODY_BYTES = 256 * 2**20
MOST_REQUESTS_OF_ONE = 200

# Returns how to reach the cluster of a Deployment, None when there is no such Deployment.
Find = Callable[[str], Awaitable[Connection | None]]
# Returns whether a Deployment hibernates.
Sleeps = Callable[[str], Awaitable[bool]]


async def _never(_ref: str) -> bool:
    return False


FIND: web.AppKey[Find] = web.AppKey("find", Find)  # type: ignore[arg-type]  # a type alias
SLEEPS: web.AppKey[Sleeps] = web.AppKey("sleeps", Sleeps)  # type: ignore[arg-type]  # as above
SESSIONS = web.AppKey("sessions", Sessions)
ORIGIN = web.AppKey("origin", str)
PORTAL_URL = web.AppKey("portal_url", str)
IS_BEHIND_EDGE = web.AppKey("is_behind_edge", bool)
ROLES = web.AppKey("roles", Roles)
BUSY = web.AppKey("busy", Counter[str])
IS_TOO_LARGE = web.RequestKey("is_too_large", bool)


def make_app(
    find: Find,
    *,
    origin: str,
    portal_url: str = "",
    ask_role: Ask | None = None,
    sleeps: Sleeps = _never,
    is_behind_edge: bool = False,
) -> web.Application:
    """Return the proxy for the Deployments that `find` knows.

    `origin` is the address that browsers see; its host and scheme are forwarded to Airflow.
    `ask_role` returns a person's role; without it sessions last as long as Airflow allows, and
    strangers are left to Airflow. Else they are sent to `portal_url`; so is whoever opens an
    Airflow that `sleeps`, which the portal may wake for them.
    `is_behind_edge` trusts the client address that the edge forwards. `find` may raise
    DataPlaneError with a message.
    """
    app = web.Application()
    app[FIND], app[ORIGIN], app[IS_BEHIND_EDGE] = find, origin, is_behind_edge
    app[PORTAL_URL], app[SLEEPS], app[HOME] = portal_url, sleeps, lambda: portal_url
    if ask_role:
        app[ROLES] = Roles(ask_role)
    app[BUSY] = Counter()
    app.cleanup_ctx.append(_sessions)
    app.on_response_prepare.append(add_security_headers)
    app.router.add_get("/healthz", _healthz)
    app.router.add_route("*", "/{path:.*}", proxy)
    return app


async def proxy(request: web.Request) -> web.StreamResponse:
    ref = ref_of(request.rel_url)
    if not ref:
        return not_found(request)
    roles = request.app.get(ROLES)
    if roles is None:
        return await _found(request, ref)
    return await guarded(
        request,
        ref,
        is_known=await roles.are_known(CIMultiDict(request.headers), ref=ref),
        portal_url=request.app[PORTAL_URL],
        answer=lambda: _found(request, ref),
    )


async def _found(request: web.Request, ref: str) -> web.StreamResponse:
    try:
        connection = await request.app[FIND](ref)
    except DataPlaneError as error:
        return silent(request, error.message)
    if connection is None:
        message = f"There is no Deployment {ref}, or it has no Airflow yet."
        return page(request, 404, "Not found", message)
    if redirect := redirect_to_slash(request.rel_url, ref):
        raise redirect
    if request.method not in METHODS:
        raise web.HTTPMethodNotAllowed(request.method, METHODS)
    if (request.content_length or 0) > LARGEST_BODY_BYTES:
        return _too_large(request)
    return await _limited(request, ref, connection)


async def _limited(request: web.Request, ref: str, connection: Connection) -> web.StreamResponse:
    """Keep one slow Airflow from using up all connections."""
    busy = request.app[BUSY]
    if busy[ref] >= MOST_REQUESTS_OF_ONE:
        return page(
            request, 503, "Busy", f"Too many requests are already waiting for Airflow of {ref}."
        )
    busy[ref] += 1
    try:
        return await _answered(request, ref, connection)
    finally:
        busy[ref] -= 1
        if not busy[ref]:
            del busy[ref]


async def _answered(request: web.Request, ref: str, connection: Connection) -> web.StreamResponse:
    try:
        async with request.app[SESSIONS].of(connection) as session:
            return await _forward(request, ref, connection, session)
    except DataPlaneError as error:
        return silent(request, error.message)
    except ClientConnectorCertificateError:
        logger.warning("the cluster of %s shows a certificate that is not trusted", ref)
        message = untrusted("The cluster", ca=connection.ca_certificate).message
        return silent(request, message, tries_again=False)
    except (ClientError, TimeoutError, OSError) as error:
        if IS_TOO_LARGE in request:
            return _too_large(request)
        logger.warning("the cluster of %s does not answer: %s", ref, type(error).__name__)
        message = (
            f"The cluster that runs {ref} does not answer the portal. Airflow itself may go on "
            "well. This page retries."
        )
        return silent(request, message)


async def _forward(
    request: web.Request, ref: str, connection: Connection, session: ClientSession
) -> web.StreamResponse:
    headers = _headers(request, ref)
    if roles := request.app.get(ROLES):
        headers = await roles.held(headers, url=request.rel_url, ref=ref)
    headers = for_cluster(headers, connection)
    if connection.identity is not None:
        headers["Authorization"] = f"Bearer {await _cloud_token(connection.identity)}"
    if request.method == "HEAD":
        # The proxy would try to decompress the missing body, and fail.
        headers["Accept-Encoding"] = "identity"
    root = f"{connection.server.rstrip('/')}{proxy_path(connection, ref)}"
    async with session.request(
        request.method,
        URL(f"{root}{request.rel_url.raw_path_qs}", encoded=True),
        headers=headers,
        data=_body(request) if request.body_exists else None,
        server_hostname=connection.tls_server_name or None,
        proxy=connection.proxy or None,
        allow_redirects=False,
    ) as upstream:
        return await _passed_on(request, ref, connection, upstream)


async def _cloud_token(identity: CloudIdentity) -> str:
    """Return the token of a cloud. A new one is waited for on a thread."""
    if kept_tokens.is_fresh(identity):
        return token_for(identity)
    return await asyncio.to_thread(token_for, identity)


async def _passed_on(
    request: web.Request, ref: str, connection: Connection, upstream: ClientResponse
) -> web.StreamResponse:
    answered = CIMultiDict(upstream.headers)
    chunks: AsyncIterator[bytes] = upstream.content.iter_chunked(CHUNK_BYTES)
    if may_be_refusal(upstream.status, answered):
        beginning = await _beginning(upstream)
        refused = refusal(upstream.status, upstream.headers.get("Content-Type", ""), beginning)
        if refused:
            return await _refused(request, ref, refused)
        chunks = _all(beginning, upstream)
    headers = for_browser(
        response_headers(answered.items(), ref=ref),
        connection,
        ref=ref,
        had_token="Authorization" in request.headers,
    )
    if is_html(answered):
        encoding = answered.get("Content-Encoding", "")
        chunks = own_html(chunks, connection, ref=ref, encoding=encoding)
    return await pass_on(request, upstream, headers, ref=ref, body=chunks)


async def _refused(request: web.Request, ref: str, refused: Refusal) -> web.Response:
    """Respond with why the API server refused. Its own message may name internals."""
    has_no_airflow = refused.code not in (401, 403)
    if has_no_airflow and request.app[PORTAL_URL] and await request.app[SLEEPS](ref):
        return sign_in_first(request, ref, portal_url=request.app[PORTAL_URL])
    logger.info("the cluster of %s answered %d for its Airflow", ref, refused.code)
    if refused.code == 401:
        message = (
            "The cluster rejects the portal's credential. An Organization Owner must replace it."
        )
        return silent(request, message, tries_again=False)
    if refused.code == 403:
        message = (
            "The portal is not allowed to open Airflow in this cluster: it lacks services/proxy."
        )
        return silent(request, message, tries_again=False)
    if refused.code == 404:
        message = f"Airflow of {ref} is not there yet. This page retries."
        return silent(request, message)
    if is_way_closed(refused):
        message = (
            f"The API server of the cluster cannot connect to Airflow of {ref}. A firewall or a "
            f"security group must let it reach port {AIRFLOW_PORT} of pods. This page retries."
        )
        return silent(request, message)
    message = f"Airflow of {ref} does not answer. It may be starting: this page retries."
    return silent(request, message)


def _too_large(request: web.Request) -> web.Response:
    return page(request, 413, "Too large", "This request is larger than the gateway accepts.")


def _headers(request: web.Request, ref: str) -> CIMultiDict[str]:
    origin = urlsplit(request.app[ORIGIN])
    client = request.remote or ""
    if request.app[IS_BEHIND_EDGE]:
        client = request.headers.get("X-Forwarded-For", "")
    return request_headers(
        request.headers.items(), ref=ref, client=client, host=origin.netloc, scheme=origin.scheme
    )


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.content.iter_chunked(CHUNK_BYTES):
        size += len(chunk)
        if size > LARGEST_BODY_BYTES:
            request[IS_TOO_LARGE] = True
            raise OSError("the body is too large")
        yield chunk


async def _beginning(upstream: ClientResponse) -> bytes:
    pieces = b""
    while len(pieces) < LARGEST_STATUS_BYTES and (piece := await upstream.content.readany()):
        pieces += piece
    return pieces


async def _all(beginning: bytes, upstream: ClientResponse) -> AsyncIterator[bytes]:
    yield beginning
    async for chunk in upstream.content.iter_chunked(CHUNK_BYTES):
        yield chunk


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _sessions(app: web.Application) -> AsyncIterator[None]:
    async with Sessions() as sessions:
        app[SESSIONS] = sessions
        yield
