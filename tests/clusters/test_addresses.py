"""A name is looked up once, and the connection goes to what was found and judged."""

from ipaddress import ip_network
from typing import Any

import pytest

from apps.core.addresses import METADATA_NETWORKS
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


@pytest.mark.parametrize("network", METADATA_NETWORKS)
def test_no_address_of_a_metadata_service_is_connected_to(network: str) -> None:
    first = str(ip_network(network)[0])

    assert "metadata service" in why_refused(first, networks=())
