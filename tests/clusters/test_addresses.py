"""A name is looked up once, and the connection goes to what was found and judged."""

from ipaddress import ip_network
from typing import Any

import pytest

from apps.core.outbound.addresses import METADATA_NETWORKS
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.addresses import AddressRefused, allowed_addresses, why_refused


def look_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    found = [(2, 1, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments, **_keywords: found)


def test_it_returns_every_address_of_a_name_once(monkeypatch: Any) -> None:
    look_up(monkeypatch, "10.0.0.1", "10.0.0.2", "10.0.0.1")

    assert allowed_addresses(host="x.example.org", port=443, networks=()) == (
        "10.0.0.1",
        "10.0.0.2",
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_one_forbidden_address_among_others_is_enough(monkeypatch: Any, address: str) -> None:
    look_up(monkeypatch, "10.0.0.1", address)

    with pytest.raises(AddressRefused, match=r"x\.example\.org is"):
        allowed_addresses(host="x.example.org", port=443, networks=())


def test_forms_that_only_the_resolver_understands_are_judged_by_what_they_mean() -> None:
    for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
        with pytest.raises(AddressRefused, match="own machine"):
            allowed_addresses(host=host, port=443, networks=())


def test_the_operator_can_allow_this_machine() -> None:
    networks = ("127.0.0.0/8",)

    assert allowed_addresses(host="127.0.0.1", port=1, networks=networks) == ("127.0.0.1",)
    assert why_refused("::ffff:127.0.0.1", networks=networks) == ""
    assert why_refused("169.254.169.254", networks=networks)


def test_a_name_that_does_not_exist_is_unreachable(monkeypatch: Any) -> None:
    with pytest.raises(Unreachable, match="cannot be looked up"):
        allowed_addresses(host="x" * 70 + ".example", port=443, networks=())


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "10.0.0.1",
        "100.64.0.1",
        "172.16.5.4",
        "192.168.0.1",
        "198.18.0.1",
        "2606:4700::1111",
        "2a02:6b8::1",
        "2001:4860:4860::8888",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_servers_are_connected_to(address: str) -> None:
    assert why_refused(address, networks=()) == ""


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - to be refused
        "0.1.2.3",
        "127.8.8.8",
        "169.254.170.2",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.0.8",
        "100.100.100.200",
        "192.88.99.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "::ffff:0:a9fe:a9fe",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        # Teredo: of the server 127.0.0.1, and of the client 127.0.0.1 behind a public server.
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:808:808::80ff:fffe",
        "2001:0:808:808::5601:5601",
        "2001:db9::5efe:127.0.0.1",
        "2606:4700::200:5efe:a9fe:a9fe",
        "2001:10::1",
        "2001:20::1",
        "100::1",
        "3ffe:0:0:0:200:5efe:127.0.0.1",
        "4000::1",
        "5f00::1",
        "fe80::1",
        "fe80::a9fe:a9fe%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "ff02::1",
    ],
)
def test_everything_else_is_refused(address: str) -> None:
    assert why_refused(address, networks=())


def test_the_operator_can_allow_what_leads_elsewhere() -> None:
    assert why_refused("64:ff9b:1::8.8.8.8", networks=("64:ff9b:1::/48",)) == ""
    assert why_refused("64:ff9b::127.0.0.1", networks=("127.0.0.0/8",)) == ""
    assert why_refused("fd20:ce::254", networks=("fd20::/16",)) == ""
    assert why_refused("2001:0:7f00:1::80ff:fffe", networks=("10.0.0.0/8",))


@pytest.mark.parametrize("network", METADATA_NETWORKS)
def test_no_address_of_a_metadata_service_is_connected_to(network: str) -> None:
    first = str(ip_network(network)[0])

    assert "metadata service" in why_refused(first, networks=())
