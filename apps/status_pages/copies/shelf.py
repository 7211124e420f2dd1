"""What a web process holds of public pages: their files, ready to send.

A visit reads memory. Every few seconds the visit that comes first looks for newer copies, while all
others go on with those at hand; a database that is away leaves them as they are. A copy that was
not written for five minutes says so, where the portal's own server hands it out.
"""

import gzip
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import Error, connection

from apps.status_pages.copies.files import unpacked
from apps.status_pages.copies.html import STALE_MARK
from apps.status_pages.copies.models import Copy
from apps.status_pages.setup.models import StatusPage

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
STALE = timedelta(minutes=5)
GZIP_BYTES = 500


@dataclass(frozen=True)
class Sheet:
    """One file as it is sent: content type, ETag, body, and the body compressed."""

    type: str
    etag: str
    body: bytes
    small: bytes


@dataclass(frozen=True)
class Shelved:
    """A page: when its copy was written, and its files, as fresh and as old ones."""

    built_at: datetime
    fresh: Mapping[str, Sheet]
    old: Mapping[str, Sheet]

    def sheet(self, name: str, now: datetime) -> Sheet | None:
        files = self.old if now - self.built_at > STALE else self.fresh
        return files.get(name or "index.html")


class Shelf:
    """The copies at hand, by address and by host name."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._by_address: dict[str, Shelved] = {}
        self._by_host: dict[str, str] = {}

    def at_address(self, address: str) -> Shelved | None:
        """Return the public page of an address, None if there is none."""
        self._look()
        return self._by_address.get(address)

    def at_host(self, host: str) -> Shelved | None:
        """Return the page that has a host name of its own, without port and in lower case."""
        self._look()
        address = self._by_host.get(host)
        return self._by_address.get(address) if address is not None else None

    def clear(self) -> None:
        """Forget everything, so that the next visit looks."""
        self._next_look, self._by_address, self._by_host = 0.0, {}, {}

    def _look(self) -> None:
        if self._clock() < self._next_look or not self._lock.acquire(blocking=False):
            return
        try:
            self._next_look = self._clock() + LOOK_SECONDS
            self._load()
        except Error:
            logger.warning("copies of status pages not read: the database does not answer")
            if not connection.in_atomic_block:
                # No request of Django's looks after the connection here: the next look has another.
                connection.close()
        finally:
            self._lock.release()

    def _load(self) -> None:
        rows = list(
            StatusPage.objects.filter(
                is_on=True, audience=StatusPage.Audience.PUBLIC, copy__isnull=False
            ).values_list("address", "host", "copy__built_at", "pk")
        )
        known = self._by_address
        stale = [
            pk
            for address, _, at, pk in rows
            if address not in known or known[address].built_at != at
        ]
        packed = (
            dict(Copy.objects.filter(pk__in=stale).values_list("pk", "packed")) if stale else {}
        )
        by_address = {
            address: shelved(bytes(packed[pk]), at) if pk in packed else known[address]
            for address, _, at, pk in rows
            if pk in packed or address in known
        }
        self._by_address = by_address
        self._by_host = {host: address for address, host, _, _ in rows if host}


def shelved(data: bytes, built_at: datetime) -> Shelved:
    """Unpack a copy and make its files ready to send."""
    files = unpacked(data)
    fresh = {name: _sheet(file.type, file.text) for name, file in files.items()}
    banner = _banner(built_at)
    old = {
        name: _sheet(file.type, file.text.replace(STALE_MARK, banner))
        if STALE_MARK in file.text
        else fresh[name]
        for name, file in files.items()
    }
    return Shelved(built_at=built_at, fresh=fresh, old=old)


def _banner(built_at: datetime) -> str:
    at = f"{built_at.astimezone(UTC):%H:%M} UTC"
    return (
        '<div class="note" data-tone="warn" role="status"><h2>Not up to date</h2>'
        f"<p>As of {at}. The portal has not reported since; what is below was true then.</p></div>"
    )


def _sheet(kind: str, text: str) -> Sheet:
    body = text.encode()
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    small = gzip.compress(body, 6, mtime=0) if len(body) >= GZIP_BYTES else b""
    return Sheet(type=kind, etag=f'"{tag}"', body=body, small=small)


shelf = Shelf()
