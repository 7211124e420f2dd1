"""XML-RPC over a unix socket, with a time limit: a hung supervisord must not hang callers."""

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 20


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self.path))
        except OSError:
            self.close()
            raise


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC's transport over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = UnixConnection(self.path)
        self._connection = (host, connection)  # so that `close` closes it
        return connection
