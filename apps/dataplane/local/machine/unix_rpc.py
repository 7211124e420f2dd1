"""XML-RPC over a unix socket, with a time limit: a hung supervisord must not hang callers."""

import http.client
import socket
import xmlrpc.client
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from apps.dataplane.errors import Temporary

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


def call(path: Path, method: str, arguments: Sequence[Any], *, ignore: Collection[int]) -> Any:
    """Call a method of supervisord and return its answer, None for a fault that is ignored.

    Raises Temporary for any other fault, and when nothing answers.
    """
    transport = UnixTransport(path)
    proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
    try:
        return getattr(proxy.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode in ignore:
            return None
        raise Temporary(f"supervisord refused {method}: {fault.faultString}") from fault
    except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
        raise Temporary("supervisord does not answer on this machine.") from error
    finally:
        transport.close()
