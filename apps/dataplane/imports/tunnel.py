"""A socket in a private folder that leads to a PostgreSQL elsewhere, over TLS.

The programs of PostgreSQL that the portal has speak no TLS, and would look the name up themselves:
here the connection goes to the address that was checked. Others on the machine cannot enter the
folder. Source: PostgreSQL's manual, "Message Flow: SSL Session Encryption".
"""

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from apps.core.outbound.addresses import AddressRefused, NameUnknown, allowed_addresses, connect
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports.types import SourceServer

PORT, SOCKET = 5432, ".s.PGSQL.5432"
CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 600.0
CHUNK_BYTES = 64 * 1024
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SASL, BINDING = struct.pack("!i", 10), b"SCRAM-SHA-256-PLUS\0"
SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)


@contextmanager
def tunnel(server: SourceServer, folder: Path) -> Iterator[None]:
    """Let programs reach a server by the socket in `folder` meanwhile. Raises Permanent or
    Temporary at once where it cannot be reached.
    """
    connected(server).close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET))
    listener.listen(8)
    stop = threading.Event()
    thread = threading.Thread(target=_accept, args=(listener, server, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)
        (folder / SOCKET).unlink(missing_ok=True)


def socket_url(folder: str, port: int, *, name: str, role: str, password: str) -> str:
    """Return the URL of a database behind a socket in a folder."""
    user = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{user}@{quote(folder, safe='')}:{port}/{quote(name, safe='')}"


def connected(server: SourceServer) -> socket.socket:
    """Connect to a server by a checked address, with TLS unless it is to be without. Raises
    Permanent or Temporary.
    """
    try:
        addresses = allowed_addresses(
            host=server.host, port=server.port, networks=server.networks, setting=server.setting
        )
        plain = connect(addresses, port=server.port, seconds=CONNECT_SECONDS)
    except (AddressRefused, NameUnknown) as error:
        raise Permanent(error.message) from None
    except OSError:
        raise Temporary(f"Nothing accepts connections at {server.host}:{server.port}.") from None
    if server.encryption == "none":
        plain.settimeout(SILENCE_SECONDS)
        return plain
    try:
        return _encrypted(plain, server)
    except BaseException:
        plain.close()
        raise


def _encrypted(plain: socket.socket, server: SourceServer) -> socket.socket:
    context = ssl.create_default_context()
    if server.ca:
        context.load_verify_locations(cadata=server.ca)
    if server.encryption == "unverified":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain.sendall(SSL_REQUEST)
        if plain.recv(1) != b"S":
            raise Permanent(
                f"{server.host} speaks no TLS. Choose a connection without encryption, if the "
                "network between is trusted."
            )
        # Bytes that came before the handshake would be read as if they were encrypted.
        encrypted = context.wrap_socket(plain, server_hostname=server.host)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")[:100]
        raise Permanent(
            f"The certificate of {server.host} is not trusted: {reason}. Enter the CA that signed "
            "it."
        ) from None
    except OSError:
        raise Temporary(f"{server.host} ended the connection.") from None
    encrypted.settimeout(SILENCE_SECONDS)
    return encrypted


def _accept(listener: socket.socket, server: SourceServer, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            near, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(near, server), daemon=True).start()


def _serve(near: socket.socket, server: SourceServer) -> None:
    try:
        far = connected(server)
    except (Permanent, Temporary):
        near.close()
        return
    with near, far, suppress(OSError, ValueError):
        _forward(near, far)


def _forward(near: socket.socket, far: socket.socket) -> None:
    """Forward both ways until one side ends. In one thread, because two that read and write the
    same TLS at once break it (until Python 3.13), and without waiting inside it: what arrives may
    be of TLS alone.
    """
    head: bytes | None = b""
    far.setblocking(False)
    while True:
        is_left = isinstance(far, ssl.SSLSocket) and far.pending() > 0
        readable = {far} if is_left else _ready({near: READ, far: READ})
        if near in readable:
            chunk = near.recv(CHUNK_BYTES)
            _send(far, chunk)
            if not chunk:
                return
        answer = _received(far) if far in readable else None
        if answer is None:
            continue
        if not answer:
            return
        if head is not None:
            head += answer
            if not _is_whole(head):
                continue
            answer, head = _without_binding(head), None
        near.sendall(answer)


def _ready(wanted: dict[socket.socket, int]) -> set[socket.socket]:
    """Wait for sockets that can be read or written. Raises TimeoutError after a long silence."""
    with selectors.DefaultSelector() as selector:
        for one, events in wanted.items():
            selector.register(one, events)
        found = {key.fileobj for key, _ in selector.select(SILENCE_SECONDS)}
    if not found:
        raise TimeoutError
    return {one for one in wanted if one in found}


def _received(far: socket.socket) -> bytes | None:
    """Return what arrived, b"" at the end, None where it was nothing but TLS's own."""
    try:
        return far.recv(CHUNK_BYTES)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None


def _send(far: socket.socket, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        try:
            rest = rest[far.send(rest) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            _ready({far: WRITE})
        except ssl.SSLWantReadError:
            _ready({far: READ})


def _is_whole(head: bytes) -> bool:
    """Return whether the first message of a server is here: a byte, its length, and the rest."""
    return len(head) >= 5 and len(head) > min(int.from_bytes(head[1:5], "big"), CHUNK_BYTES)


def _without_binding(message: bytes) -> bytes:
    """Leave out the sign-in that is bound to a TLS which the program does not see; it would take
    the offer for an attack. The portal has checked the certificate.
    """
    if message[:1] != b"R" or message[5:9] != SASL or BINDING not in message:
        return message
    length = 1 + int.from_bytes(message[1:5], "big")
    body, rest = message[5:length].replace(BINDING, b"", 1), message[length:]
    return b"R" + struct.pack("!i", len(body) + 4) + body + rest
