"""Responses of the edge and the gateway when there is no response of an Airflow to pass on."""

import html
from collections.abc import Callable

from aiohttp import web

SECURITY_HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Server": "astro-portal-edge",
}
# In the colors of the portal's own pages, which the edge cannot ask for their style sheet.
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
{refresh}<title>{title}</title><style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ margin: 0; background: light-dark(#f4f2ec, #0e1219); color: light-dark(#181c25, #ece9e2) }}
header {{ padding: .75rem 1.5rem; background: light-dark(#14213a, #0b1222); color: #f5f2ea }}
header a {{ color: inherit }}
main {{ max-width: 34rem; margin: 10vh auto; padding: 0 1.5rem; overflow-wrap: anywhere }}
h1 {{ font-size: 1.25rem }}
</style></head>
<body><header>{home}</header><main><h1>{title}</h1><p>{message}</p></main></body></html>
"""
# Where browsers reach the portal, for the way back.
HOME: web.AppKey[Callable[[], str]] = web.AppKey("home")
RETRY_SECONDS = 5
REFRESH = f'<meta http-equiv="refresh" content="{RETRY_SECONDS}">'


def page(
    request: web.Request, status: int, title: str, message: str, *, tries_again: bool = False
) -> web.Response:
    """Respond with a page to browsers, JSON to programs; the page reloads if it `tries_again`."""
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response({"detail": message}, status=status)
    refresh = REFRESH if tries_again and request.method == "GET" else ""
    text = PAGE.format(
        refresh=refresh, home=_home(request), title=title, message=html.escape(message)
    )
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    response.headers["Cache-Control"] = "no-store"
    return response


def _home(request: web.Request) -> str:
    url = request.app[HOME]() if HOME in request.app else ""
    return f'<a href="{html.escape(url.rstrip("/"))}/">Astro Portal</a>' if url else "Astro Portal"


def not_found(request: web.Request) -> web.Response:
    """Respond to an address that cannot belong to a Deployment."""
    return page(request, 404, "Not found", "This address does not belong to any Deployment.")


def silent(request: web.Request, message: str, *, tries_again: bool = True) -> web.Response:
    """Respond for an Airflow that cannot be reached now."""
    return page(request, 502, "Airflow does not answer", message, tries_again=tries_again)


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every response of the edge and the gateway carries."""
    response.headers.update(SECURITY_HEADERS)
