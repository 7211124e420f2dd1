"""What whoever is not signed in gets at the door to all Airflows: the way to the portal's sign-in,
whether there is such a Deployment or not.

Only their people should know which Deployments there are. So no request of a stranger reaches an
Airflow, its public pages included, but the one that signs in; and what that is refused with does
not tell either. Programs of this machine and probes of a cluster ask an Airflow itself.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from aiohttp import web

from apps.dataplane.edge.pages import page

CALLBACK = "auth/portal/callback"
LOGIN = "api/v2/auth/login"
NO_STORE = {"Cache-Control": "no-store"}
IS_STRANGER = web.RequestKey("is_stranger", bool)


async def guarded(
    request: web.Request,
    ref: str,
    *,
    is_known: bool,
    portal_url: str,
    answer: Callable[[], Awaitable[web.StreamResponse]],
) -> web.StreamResponse:
    """Answer a request of someone known, and a ticket; anything else with the way to sign in."""
    if is_known:
        return await answer()
    if not is_sign_in(request, ref):
        return sign_in_first(request, ref, portal_url=portal_url)
    request[IS_STRANGER] = True
    response = await answer()
    return response if response.status < 400 else not_accepted(request)


def is_sign_in(request: web.Request, ref: str) -> bool:
    """Return whether a request is the portal's form with a ticket for an Airflow."""
    return request.method == "POST" and request.rel_url.raw_path == f"/{ref}/{CALLBACK}"


def sign_in_first(request: web.Request, ref: str, *, portal_url: str) -> web.Response:
    """Send a browser to the portal's sign-in, which leads back; refuse a program."""
    is_page = request.method in ("GET", "HEAD") and "text/html" in request.headers.get("Accept", "")
    if not is_page:
        detail = "Sign in through the portal, or send a token of Airflow."
        return web.json_response({"detail": detail}, status=401, headers=NO_STORE)
    query = urlencode({"next": _wanted(request, ref)})
    address = f"{portal_url.rstrip('/')}/airflow/{ref}/?{query}"
    return web.Response(status=302, headers={"Location": address, **NO_STORE})


def not_accepted(request: web.Request) -> web.Response:
    """Refuse a ticket, and say nothing of the Airflow that it may have been for."""
    message = "This sign-in was not accepted. Open Airflow from its page in the portal again."
    return page(request, 401, "Not signed in", message)


def _wanted(request: web.Request, ref: str) -> str:
    """Return the page that is wanted: where Airflow's own sign-in would lead, or this one."""
    url = request.rel_url
    return url.query.get("next", "") if url.raw_path == f"/{ref}/{LOGIN}" else url.raw_path_qs
