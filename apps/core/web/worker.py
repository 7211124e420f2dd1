"""The web server's worker: threads, none of which a slow client holds without end.

gunicorn's own waits for the rest of a request as long as the client pleases, and eight clients that
send a byte now and then would take all threads. Here a request has half a minute to arrive, and
more as it proceeds: a large upload may take long, but not stand still. Writing has a limit as well.
"""

import time
from socket import socket
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

REQUEST_SECONDS = 30
BYTES_PER_SECOND = 2_048
WRITE_SECONDS = 300


class ClientTooSlow(ConnectionResetError):
    """The server ends the connection; it counts as one that the client has left."""


class PatientUnreader(SocketUnreader):
    """Reads one request after the other, each within its time."""

    def __init__(self, sock: socket, *, seconds: float) -> None:
        super().__init__(sock)
        self.seconds = seconds
        self.begin()

    def begin(self) -> None:
        self.began, self.received = time.monotonic(), 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        usual = self.sock.gettimeout()
        rest = self.began + self.seconds + self.received / BYTES_PER_SECOND - time.monotonic()
        if rest <= 0:
            raise ClientTooSlow
        self.sock.settimeout(rest if usual is None else min(rest, usual))
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise ClientTooSlow from None
        finally:
            self.sock.settimeout(usual)
        self.received += len(data)
        return data


class PatientConnection(TConn):
    def __init__(self, *arguments: Any, seconds: float) -> None:
        super().__init__(*arguments)
        self.seconds = seconds

    def init(self) -> None:
        """Get ready for a request; the worker calls it before each."""
        super().init()
        if not isinstance(self.parser.unreader, PatientUnreader):
            self.parser.unreader = PatientUnreader(self.sock, seconds=self.seconds)
        self.parser.unreader.begin()
        self.sock.settimeout(WRITE_SECONDS)


class PatientWorker(ThreadWorker):
    request_seconds: float = REQUEST_SECONDS

    def enqueue_req(self, conn: TConn) -> None:
        if not isinstance(conn, PatientConnection):
            conn = PatientConnection(
                self.cfg, conn.sock, conn.client, conn.server, seconds=self.request_seconds
            )
        super().enqueue_req(conn)
