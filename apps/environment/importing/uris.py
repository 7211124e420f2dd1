"""A connection written as an address, as Airflow writes and reads it. Pure.

As `Connection._parse_from_uri` of Airflow: each part is percent-encoded, the query is `extra`, or
JSON in `__extra__`; `type://http://host` keeps the protocol in the host.
"""

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from apps.core.errors import Invalid

EXTRA_KEY = "__extra__"
WRONG = "It is not an address of a connection, such as postgres://user:password@host:5432/name."


def connection_of(uri: str) -> dict[str, Any]:
    """Return the fields of a connection. Raises Invalid, without the text."""
    count = uri.count("://")
    kind = uri.split("://", 1)[0]
    if count not in (1, 2) or not kind:
        raise Invalid(WRONG)
    rest = uri[len(kind) + 3 :]
    protocol = ""
    if count == 2:
        protocol, rest = rest.split("://", 1)
        if "@" in protocol or ":" in protocol:
            raise Invalid(WRONG)
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError:
        raise Invalid(WRONG) from None
    host = _host(parts)
    found: dict[str, Any] = {
        "type": "postgres" if kind == "postgresql" else kind.replace("-", "_"),
        "host": f"{protocol}://{host}" if protocol and host else host,
        "schema": unquote(parts.path[1:]),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "port": port,
        "extra": _extra(parts.query),
    }
    return {name: value for name, value in found.items() if value not in ("", None, {})}


def _host(parts: Any) -> str:
    """Return the host, which is a path where it is a socket: %2Fvar%2Frun."""
    host = unquote(parts.hostname or "")
    if "/" not in host:
        return host
    netloc = parts.netloc.rsplit("@", 1)[-1].split(":", 1)[0]
    return unquote(netloc)


def _extra(query: str) -> dict[str, Any]:
    if not query:
        return {}
    try:
        found = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=1_000))
        extra = json.loads(found[EXTRA_KEY]) if EXTRA_KEY in found else found
    except (ValueError, RecursionError):
        raise Invalid(WRONG) from None
    if not isinstance(extra, dict):
        raise Invalid(WRONG)
    return extra
