"""Which addresses the portal connects to for a cluster or an identity provider.

The name is resolved here and the connection goes to the result: a name that points elsewhere a
moment later (DNS rebinding) gains nothing. Private ranges are allowed, because clusters and
identity providers are there; this machine, its link and its metadata service are not, unless the
operator allows them.
"""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from apps.core.errors import PortalError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand out credentials to all who ask: the link-local ranges, AWS and Google over
# IPv6, Oracle, Alibaba, Azure. Network policies of Airflows and of the portal close the same ones.
METADATA_NETWORKS = (
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "192.0.0.192/32",
    "100.100.100.200/32",
    "168.63.129.16/32",
)


class AddressRefused(PortalError):
    """The portal does not connect to this address; the message has the reason and the remedy."""


class NameUnknown(PortalError):
    """The name has no address."""


def allowed_addresses(
    *, host: str, port: int, networks: tuple[str, ...], setting: str
) -> tuple[str, ...]:
    """Resolve a host once and return its addresses, all of them allowed.

    `networks` are those that the operator allows besides, in `setting`. Raises AddressRefused if
    one address is not allowed, NameUnknown if there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NameUnknown(f"The name {host} cannot be looked up.") from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        reason = why_refused(address, networks=networks, setting=setting)
        if reason:
            raise AddressRefused(reason if address == host else f"{host} is {address}. {reason}")
    return addresses


def connect(
    addresses: Sequence[str],
    *,
    port: int,
    seconds: float,
    socket_options: Iterable[tuple[int, int, int | bytes]] = (),
) -> socket.socket:
    """Connect to the first of the checked addresses that accepts, without a second look-up.

    Raises the OSError of the last one: TimeoutError after `seconds` for each.
    """
    failure = OSError("There is no address to connect to.")
    for address in addresses:
        try:
            sock = socket.create_connection((address, port), seconds)
        except OSError as error:
            failure = error
            continue
        for option in socket_options:
            sock.setsockopt(*option)
        return sock
    raise failure


def why_refused(address: str, *, networks: tuple[str, ...], setting: str) -> str:
    """Return why the portal does not connect to an address, empty if it does.

    `networks` are those that the operator allows besides, as in `10.0.0.0/8`.
    """
    ip = _plain(ip_address(address.partition("%")[0]))
    if any(ip in network for network in map(ip_network, networks)):
        return ""
    kind = _kind(ip)
    if not kind:
        return ""
    if ip.is_unspecified or ip.is_multicast:
        return f"{ip} is {kind}. No server has such an address."
    return (
        f"{ip} is {kind}. The operator of this portal can allow it with the setting {setting}, "
        "if the server really is there."
    )


def _plain(ip: Address) -> Address:
    """Return the IPv4 address that an IPv6 one wraps, if it wraps one."""
    if isinstance(ip, IPv6Address):
        for wrapped in (ip.ipv4_mapped, ip.sixtofour, _nat64(ip), _compatible(ip)):
            if wrapped is not None:
                return wrapped
    return ip


def _nat64(ip: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in IPv6Network("64:ff9b::/96") else None


def _compatible(ip: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(ip)) if 1 < int(ip) <= 0xFFFFFFFF else None


def _kind(ip: Address) -> str:
    if ip.is_unspecified or str(ip).startswith("0."):
        return "not the address of a machine"
    if ip.is_loopback:
        return "an address of the portal's own machine"
    if ip.is_link_local:
        return "a link-local address, where clouds keep their metadata service"
    if any(ip in ip_network(network) for network in METADATA_NETWORKS):
        return "the address of a cloud's metadata service"
    if ip.is_multicast:
        return "a multicast address"
    if _is_reserved(ip):
        return "a reserved address"
    return ""


def _is_reserved(ip: Address) -> bool:
    # Several clouds put control planes into the shared address space (RFC 6598).
    if isinstance(ip, IPv4Address):
        return ip.is_reserved
    return ip.is_site_local
