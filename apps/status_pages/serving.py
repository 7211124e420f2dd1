"""The public pages, before Django: a visit costs a look into memory.

    gunicorn ──▶ StatusPages ──▶ a file of a public page's copy, or 304
                     └──▶ Django: everything else, subscribing and pages for members included

At a host name of its own a page is all that there is: other addresses there are not found, so that
the portal is not reachable under a name that it does not know. A page of 20,000 readers during an
outage takes neither a session, nor a template, nor a query.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from apps.status_pages.copies.shelf import Sheet, Shelf, Shelved, shelf

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]
PREFIX = "/status/"
READING = frozenset({"GET", "HEAD"})
# No script, no frame, nothing from elsewhere; the form goes to the portal, whatever its name.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action {origin}"
)


class StatusPages:
    """A WSGI application around that of Django. `origin` is the portal's own, `hosts` are the names
    that the operator allows pages to have.
    """

    def __init__(
        self,
        application: Application,
        *,
        origin: str,
        hosts: Collection[str] = (),
        pages: Shelf = shelf,
    ) -> None:
        self._application = application
        self._pages = pages
        self._hosts = frozenset(hosts)
        self._always = headers_of_copies(origin)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        is_reading = environ.get("REQUEST_METHOD") in READING
        host = _host(environ)
        page = self._pages.at_host(host) if host in self._hosts else None
        if page is not None:
            name = path.lstrip("/")
            if is_reading:
                sheet = page.sheet(name, datetime.now(UTC))
                return self._send(sheet, environ, start) if sheet else _nothing(start)
            return _nothing(start)
        if is_reading and path.startswith(PREFIX):
            address, _, name = path[len(PREFIX) :].partition("/")
            sheet = _sheet_of(self._pages.at_address(address), path, name)
            if sheet is not None:
                return self._send(sheet, environ, start)
        return self._application(environ, start)

    def _send(self, sheet: Sheet, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if sheet.etag in environ.get("HTTP_IF_NONE_MATCH", ""):
            start("304 Not Modified", [*self._always, ("ETag", sheet.etag)])
            return ()
        body, encoding = sheet.body, []
        if sheet.small and "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body, encoding = sheet.small, [("Content-Encoding", "gzip")]
        headers = [
            ("Content-Type", sheet.type),
            ("Content-Length", str(len(body))),
            ("ETag", sheet.etag),
            *encoding,
            *self._always,
        ]
        start("200 OK", headers)
        return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)


def headers_of_copies(origin: str) -> list[tuple[str, str]]:
    """Return the headers that every file of a copy has. `origin` is the portal's own."""
    return [
        ("Cache-Control", "public, max-age=15"),
        ("Vary", "Accept-Encoding"),
        ("Content-Security-Policy", POLICY.format(origin=origin)),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        # Programs of others read the JSON; nothing in it is secret.
        ("Access-Control-Allow-Origin", "*"),
    ]


def _sheet_of(page: Shelved | None, path: str, name: str) -> Sheet | None:
    # Without the slash, links of the page would lead elsewhere: Django adds it.
    if page is None or path.count("/") < 3:
        return None
    return page.sheet(name, datetime.now(UTC))


def _host(environ: Mapping[str, Any]) -> str:
    host = str(environ.get("HTTP_HOST", "")).lower()
    return "" if host.startswith("[") else host.partition(":")[0].removesuffix(".")


def _nothing(start: Start) -> Iterable[bytes]:
    body = b"There is no such page here.\n"
    start(
        "404 Not Found",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return (body,)
