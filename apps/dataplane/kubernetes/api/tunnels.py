"""A tunnel through an HTTP proxy (RFC 9110, CONNECT). The proxy sees the name and bytes of TLS."""

import socket
import time
from urllib.parse import urlsplit

from apps.core.outbound.addresses import connect
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.addresses import allowed_addresses

LARGEST_ANSWER = 16_384
USUAL_PORT = 3128


def tunnel(
    proxy: str, *, host: str, port: int, networks: tuple[str, ...], seconds: float
) -> socket.socket:
    """Return a socket that leads to `host` through a proxy at an allowed address.

    Raises AddressRefused for another one, Unreachable when the proxy is away or refuses, OSError
    when a connection breaks.
    """
    parts = urlsplit(proxy)
    name, proxy_port = parts.hostname or "", parts.port or USUAL_PORT
    addresses = allowed_addresses(host=name, port=proxy_port, networks=networks)
    deadline = time.monotonic() + seconds
    try:
        sock = connect(addresses, port=proxy_port, seconds=seconds)
    except OSError:
        raise Unreachable(f"The proxy {name}:{proxy_port} does not accept connections.") from None
    try:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        sock.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode("ascii"))
        status = _status(sock, deadline)
    except OSError:
        sock.close()
        raise Unreachable(f"The proxy {name}:{proxy_port} does not answer.") from None
    if status // 100 == 2:
        return sock
    sock.close()
    raise Unreachable(
        f"The proxy {name}:{proxy_port} does not connect to {where} ({status}). Whoever runs it "
        "can allow that."
    )


def _status(sock: socket.socket, deadline: float) -> int:
    """Read the head of the answer, byte by byte: what follows belongs to TLS."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > LARGEST_ANSWER:
            raise TimeoutError
        sock.settimeout(left)
        one = sock.recv(1)
        if not one:
            raise ConnectionError
        head += one
    version, _, rest = head.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise ConnectionError
    return int(code)
