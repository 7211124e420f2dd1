"""Which Airflow an address names, and streaming its response to the browser."""

import logging
import re
from collections.abc import AsyncIterator

from aiohttp import ClientError, ClientResponse, ClientTimeout, web
from multidict import CIMultiDict
from yarl import URL

from apps.dataplane.edge.headers import is_odd
from apps.dataplane.edge.strangers import IS_STRANGER, not_accepted

logger = logging.getLogger(__name__)

REF = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")
CHUNK_BYTES = 64 * 1024
# A response may pause for long: the log of a running task streams until the task ends.
UPSTREAM_TIMEOUT = ClientTimeout(total=None, sock_connect=3, sock_read=300)
# What aiohttp would add by itself to a request that has none.
NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def ref_of(url: URL) -> str:
    """Return the Deployment that an address names, "" for one that cannot be a Deployment's."""
    ref = url.raw_path.removeprefix("/").partition("/")[0]
    return ref if REF.fullmatch(ref) and not is_odd(url) else ""


def redirect_to_slash(url: URL, ref: str) -> web.HTTPTemporaryRedirect | None:
    """Return the redirect that `/<ref>` needs to be a folder."""
    if url.raw_path != f"/{ref}":
        return None
    return web.HTTPTemporaryRedirect(location=URL(f"/{ref}/").with_query(url.query))


async def pass_on(
    request: web.Request,
    upstream: ClientResponse,
    headers: CIMultiDict[str],
    *,
    ref: str,
    body: AsyncIterator[bytes] | None = None,
) -> web.StreamResponse:
    """Stream a response with these headers to the browser; `body` replaces its own. A refusal is
    not for strangers.
    """
    if request.get(IS_STRANGER) and upstream.status >= 400:
        return not_accepted(request)
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
    response.headers.extend(headers)
    await response.prepare(request)
    try:
        async for chunk in body or upstream.content.iter_chunked(CHUNK_BYTES):
            await response.write(chunk)
        await response.write_eof()
    except (ClientError, TimeoutError, OSError) as error:
        # The response has begun; only closing the connection still shows that it is cut short.
        logger.info("an answer of %s was cut short: %s", ref, type(error).__name__)
        if request.transport:
            request.transport.abort()
    return response
