"""A socket in a private folder that leads to a PostgreSQL elsewhere, over TLS.

The programs of PostgreSQL that the portal has speak no TLS, and would look the name up themselves:
here the connection goes to the address that was checked. Others on the machine cannot enter the
folder. Source: PostgreSQL's manual, "Message Flow: SSL Session Encryption".
"""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apps.core.outbound.addresses import AddressRefused, NameUnknown, allowed_addresses, connect
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.imports.types import SourceServer

PORT, SOCKET = 5432, ".s.PGSQL.5432"
CONNECT_SECONDS, SILENCE_SECONDS = 5.0, 600.0
CHUNK_BYTES = 64 * 1024
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
    there = threading.Thread(target=_pump, args=(near, far), daemon=True)
    there.start()
    with suppress(OSError):
        near.sendall(_without_binding(_first_message(far)))
    _pump(far, near)
    there.join()
    near.close()
    far.close()


def _first_message(far: socket.socket) -> bytes:
    head = _exactly(far, 5)
    if len(head) < 5:
        return head
    length = int.from_bytes(head[1:], "big") - 4
    return head + _exactly(far, min(max(length, 0), CHUNK_BYTES))


def _exactly(sock: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (chunk := sock.recv(size - len(content))):
        content += chunk
    return content


def _without_binding(message: bytes) -> bytes:
    """Leave out the sign-in that is bound to a TLS which the program does not see; it would take
    the offer for an attack. The portal has checked the certificate.
    """
    if message[:1] != b"R" or message[5:9] != SASL or BINDING not in message:
        return message
    body = message[5:].replace(BINDING, b"", 1)
    return b"R" + struct.pack("!i", len(body) + 4) + body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
