"""Which headers and cookies pass the edge, to an Airflow and back. Pure."""

import re
from collections.abc import Iterable

from multidict import CIMultiDict
from yarl import URL

# Cookies ignore ports: the browser sends the portal's to the edge too, and an Airflow could set
# one.
PORTAL_COOKIES = frozenset(
    f"{prefix}{name}"
    for name in ("sessionid", "csrftoken", "messages")
    for prefix in ("", "__Host-", "__Secure-")
)
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What an Airflow may tell a browser. Everything else is dropped: many headers speak for the whole
# origin, which all Airflows share (Clear-Site-Data, Service-Worker-Allowed, Alt-Svc, Report-To,
# Strict-Transport-Security), or for a proxy in front of the edge (X-Accel-…, X-Sendfile).
PASSED_BACK = frozenset(
    {
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-security-policy",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "location",
        "pragma",
        "retry-after",
        "vary",
        "www-authenticate",
        "x-correlation-id",
        "x-request-id",
        "x-total-count",
    }
)
# Set anew on the way to Airflow, handled by the edge itself, or a claim about who asks that only a
# proxy may make. Airflow's WSGI applications read an underscore as a hyphen.
REPLACED = re.compile(
    r"x-forwarded(?:-.*)?|forwarded|x-real-ip|x-(?:cluster-)?client-ip|true-client-ip"
    r"|cf-connecting-ip|x-original-.*|x-rewrite-url|x-remote-.*|remote-user|cookie|expect|.*_.*"
)
ODD_PATH = re.compile(r"(?:^|/)\.{1,2}(?:/|$)|\\|[\x00-\x1f\x7f]")

Headers = Iterable[tuple[str, str]]


def request_headers(
    headers: Headers, *, ref: str, client: str, host: str, scheme: str
) -> CIMultiDict[str]:
    """Return the headers for Airflow: the browser's, without the portal's cookies."""
    items = list(headers)
    dropped = HOP_BY_HOP | _named_by_connection(items)
    kept: CIMultiDict[str] = CIMultiDict(
        (name, value)
        for name, value in items
        if name.lower() not in dropped and not REPLACED.fullmatch(name.lower())
    )
    if cookies := _cookies_for_airflow(value for name, value in items if name.lower() == "cookie"):
        kept["Cookie"] = cookies
    kept["X-Forwarded-For"] = client
    kept["X-Forwarded-Host"] = host
    kept["X-Forwarded-Proto"] = scheme
    kept["X-Forwarded-Prefix"] = f"/{ref}"
    return kept


def response_headers(headers: Headers, *, ref: str) -> CIMultiDict[str]:
    """Return the headers for the browser: Airflow's that speak for its answer alone, and cookies
    that are its own.
    """
    items = list(headers)
    passed = PASSED_BACK - _named_by_connection(items)
    return CIMultiDict(
        (name, value)
        for name, value in items
        if name.lower() in passed or (name.lower() == "set-cookie" and is_cookie_of(value, ref))
    )


def is_cookie_of(value: str, ref: str) -> bool:
    """Return whether Airflow `ref` may set this cookie: below its path, for this host, not the
    portal's.

    Others are dropped rather than moved below the path: some of Airflow's answers carry the
    deletion of a cookie at `/` beside the good one, and moved there it would delete that.
    """
    name_and_value, *attributes = value.split(";")
    pairs = [part.partition("=") for part in attributes]
    named = {name.strip().lower(): text.strip() for name, _, text in pairs}
    path = named.get("path", "")
    is_below = path == f"/{ref}" or path.startswith(f"/{ref}/")
    # Of a cookie without a name, browsers send the value alone, which may read like another cookie.
    name = name_and_value.partition("=")[0].strip()
    is_named = bool(name) and "=" in name_and_value
    return is_below and is_named and "domain" not in named and name not in PORTAL_COOKIES


def is_odd(url: URL) -> bool:
    """Return whether Airflow could resolve the path differently than it is resolved here."""
    return "//" in url.raw_path or bool(ODD_PATH.search(url.raw_path) or ODD_PATH.search(url.path))


def _cookies_for_airflow(values: Iterable[str]) -> str:
    pairs = [pair.strip() for value in values for pair in value.split(";")]
    return "; ".join(pair for pair in pairs if pair and _name_of(pair) not in PORTAL_COOKIES)


def _name_of(pair: str) -> str:
    return pair.partition("=")[0].strip()


def _named_by_connection(items: list[tuple[str, str]]) -> frozenset[str]:
    values = [value for name, value in items if name.lower() == "connection"]
    return frozenset(name.strip().lower() for value in values for name in value.split(","))
