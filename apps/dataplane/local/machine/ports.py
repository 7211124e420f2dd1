"""TCP ports of this home's listeners: chosen once, remembered, and checked before they are used."""

import errno
import json
import random
import socket
from collections.abc import Iterable, Mapping

from apps.dataplane.errors import Permanent
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private

LOOPBACK = "127.0.0.1"
FIRST_PORTAL_PORT = 8080
# Below the range that Linux and macOS use for outgoing connections, so none is taken by chance.
INTERNAL_PORTS = range(20000, 30000)
INTERNAL_LISTENERS = ("postgres", "valkey")
PUBLIC_LISTENERS = {"portal": "PORTAL_PORT", "edge": "PORTAL_EDGE_PORT"}


def remembered_ports(home: Home) -> dict[str, int]:
    """Return listener → port. Raises FileNotFoundError when the home was never prepared."""
    return {name: int(port) for name, port in json.loads(home.ports.read_text()).items()}


def remembered_port(home: Home, name: str) -> int:
    """Return one remembered port. Raises FileNotFoundError when it was never chosen."""
    try:
        return remembered_ports(home)[name]
    except KeyError:
        raise FileNotFoundError(f"No port of {name} is remembered in {home.ports}.") from None


def portal_listener(home: Home, *, host: str) -> str:
    """Return `address:port` at which this machine reaches the portal, which listens at `host`."""
    address = LOOPBACK if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"{f'[{address}]' if ':' in address else address}:{remembered_port(home, 'portal')}"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return whether a listener could be opened on the port now."""
    try:
        _bind(port, host)
    except OSError:
        return False
    return True


def free_port(*, avoid: Iterable[int] = ()) -> int:
    """Choose a free loopback port, none of `avoid`. Raises Permanent if there is none."""
    avoided = set(avoid)
    for port in random.sample(INTERNAL_PORTS, len(INTERNAL_PORTS)):
        if port not in avoided and is_free(port):
            return port
    raise Permanent("No free network port was found on this machine between 20000 and 29999.")


def choose_ports(
    home: Home,
    *,
    wanted: Mapping[str, int] | None = None,
    hosts: Mapping[str, str] | None = None,
    ours: frozenset[str] = frozenset(),
) -> dict[str, int]:
    """Decide and remember the ports of all listeners.

    `wanted` holds what the operator asked for (`portal`, `edge`), `hosts` the addresses they will
    listen on, `ours` the listeners that run now, whose ports are rightly occupied. Raises Permanent
    when a port that people know by its number is in use by another program.
    """
    wanted, hosts = wanted or {}, hosts or {}
    try:
        old = remembered_ports(home)
    except (FileNotFoundError, ValueError):
        old = {}
    ports = {name: port for name, port in old.items() if name in ours}
    for name, variable in PUBLIC_LISTENERS.items():
        host = hosts.get(name, LOOPBACK)
        port = wanted.get(name) or old.get(name)
        if port is None:
            port = _next_free(after=ports.get("portal"), host=host, avoid=set(wanted.values()))
        elif ports.get(name) != port:
            _check_public(port, host, variable)
        ports[name] = port
    for name in INTERNAL_LISTENERS:
        if name not in ports:
            kept = old.get(name)
            taken = ports.values()
            ports[name] = kept if kept and is_free(kept) else free_port(avoid=taken)
    if ports["portal"] == ports["edge"]:
        raise Permanent("PORTAL_PORT and PORTAL_EDGE_PORT must be two different ports.")
    write_private(home.ports, json.dumps(ports, sort_keys=True))
    return ports


def _next_free(*, after: int | None, host: str, avoid: set[int]) -> int:
    first = FIRST_PORTAL_PORT if after is None else after + 1
    for port in range(first, min(first + 1000, 65536)):
        if port not in avoid and is_free(port, host):
            return port
    raise Permanent(f"No free network port was found on this machine from {first} on.")


def _check_public(port: int, host: str, variable: str) -> None:
    try:
        _bind(port, host)
    except OSError as error:
        messages = {
            errno.EADDRINUSE: f"Port {port} is in use by another program. "
            f"Set {variable} to a free port, or stop that program.",
            errno.EACCES: f"Port {port} can only be opened by an administrator. "
            f"Set {variable} to a port from 1024 on.",
            errno.EADDRNOTAVAIL: f"This machine has no network address {host}.",
        }
        reason = f"Port {port} on {host} cannot be opened: {error.strerror}."
        raise Permanent(messages.get(error.errno or 0, reason)) from error


def _bind(port: int, host: str) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as listener:
        # Without this a port stays "in use" for a minute after its server ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
