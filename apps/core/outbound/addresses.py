"""Which addresses the portal connects to for a cluster or an identity provider.

The name is resolved here and the connection goes to the result: a name that points elsewhere a
moment later (DNS rebinding) gains nothing. What is not known to be the unicast address of a server
is refused. Private ranges are allowed, because clusters and identity providers are there; this
machine, its link and its metadata service are not, unless the operator allows them. An IPv6 address
that leads to an IPv4 one is judged as that.
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
# IPv6, Oracle, Alibaba, Azure, Scaleway, Linode. Network policies close the same ones.
METADATA_NETWORKS = (
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::254/128",
    "fd00:ec2::23/128",
    "fd20:ce::254/128",
    "192.0.0.192/32",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:42::42/128",
    "fd00:a9fe:a9fe::1/128",
)
# Unicast addresses that servers have: public ones by IANA's allocations, private ones, and the
# shared space of RFC 6598, where several clouds put control planes.
SERVERS = tuple(map(ip_network, ("0.0.0.0/0", "2000::/3", "fc00::/7")))
# Parts of those with another purpose, from IANA's registries of special-purpose addresses. Those
# for documentation lead nowhere and are left to the network.
SPECIAL = tuple(
    map(
        ip_network,
        ("0.0.0.0/8", "127.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/3", "2001::/23"),
    )
)
# IPv6 prefixes whose last 32 bits are an IPv4 address: compatible and mapped (RFC 4291), translated
# (RFC 2765), NAT64 (RFC 6052).
LAST_BITS = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
LOWEST = 0xFFFFFFFF
# Interface identifiers of ISATAP (RFC 5214): these 32 bits, then an IPv4 address.
ISATAP = (0x00005EFE, 0x02005EFE)
PRIVATE = "an address of a private network"


class AddressRefused(PortalError):
    """The portal does not connect to this address; the message has the reason and the remedy."""


class NameUnknown(PortalError):
    """The name has no address."""


def allowed_addresses(
    *,
    host: str,
    port: int,
    networks: tuple[str, ...],
    setting: str,
    is_public_only: bool = False,
) -> tuple[str, ...]:
    """Resolve a host once and return its addresses, all of them allowed.

    `networks` are those that the operator allows besides, in `setting`; private ones are not
    allowed either where `is_public_only`. Raises AddressRefused if one address is not allowed,
    NameUnknown if there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NameUnknown(f"The name {host} cannot be looked up.") from None
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        reason = why_refused(
            address, networks=networks, setting=setting, is_public_only=is_public_only
        )
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


def why_refused(
    address: str, *, networks: tuple[str, ...], setting: str, is_public_only: bool = False
) -> str:
    """Return why the portal does not connect to an address, empty if it does.

    `networks` are those that the operator allows besides, as in `10.0.0.0/8`.
    """
    ip = ip_address(address.partition("%")[0])
    # The operator's networks are of what is connected to in the end.
    for one in _meant(ip):
        if _is_in(one, networks) or _is_in(ip, networks):
            continue
        kind = _kind(one) or (PRIVATE if is_public_only and not one.is_global else "")
        if kind:
            return _sentence(one, kind, setting)
    return ""


def _sentence(ip: Address, kind: str, setting: str) -> str:
    if ip.is_unspecified or ip.is_multicast:
        return f"{ip} is {kind}. No server has such an address."
    return (
        f"{ip} is {kind}. The operator of this portal can allow it with the setting {setting}, "
        "if the server really is there."
    )


def _is_in(ip: Address, networks: Iterable[str]) -> bool:
    return any(ip in ip_network(network) for network in networks)


def _meant(ip: Address) -> list[Address]:
    """Return the addresses that a connection to this one leads to: itself, or those it embeds."""
    if isinstance(ip, IPv4Address) or ip in (IPv6Address("::"), IPv6Address("::1")):
        return [ip]
    if any(ip in prefix for prefix in LAST_BITS):
        return [IPv4Address(int(ip) & LOWEST)]
    if ip.sixtofour is not None:
        return [ip.sixtofour]
    if ip.teredo is not None:
        return list(ip.teredo)
    if int(ip) >> 32 & LOWEST in ISATAP:
        return [ip, IPv4Address(int(ip) & LOWEST)]
    return [ip]


def _kind(ip: Address) -> str:
    if ip.is_unspecified or str(ip).startswith("0."):
        return "not the address of a machine"
    if ip.is_loopback:
        return "an address of the portal's own machine"
    if ip.is_link_local:
        return "a link-local address, where clouds keep their metadata service"
    if _is_in(ip, METADATA_NETWORKS):
        return "the address of a cloud's metadata service"
    if ip.is_multicast:
        return "a multicast address"
    is_servers = any(ip in network for network in SERVERS)
    if not is_servers or any(ip in network for network in SPECIAL):
        return "a reserved address"
    return ""
