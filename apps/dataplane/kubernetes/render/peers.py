"""Peers of network policies that several of them name."""

from ipaddress import ip_network
from typing import Any

from apps.core.outbound.addresses import METADATA_NETWORKS

NAMES: dict[str, Any] = {
    "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
}


def anywhere() -> list[dict[str, Any]]:
    """Return all addresses but those where clouds serve a node's credentials to whoever asks from
    it, and all pods: to some network plugins no pod is part of a block of addresses.
    """
    return [
        _all_but_metadata("0.0.0.0/0"),
        _all_but_metadata("::/0"),
        {"namespaceSelector": {}},
    ]


def _all_but_metadata(everything: str) -> dict[str, Any]:
    version = ip_network(everything).version
    closed = [one for one in METADATA_NETWORKS if ip_network(one).version == version]
    return {"ipBlock": {"cidr": everything, "except": closed}}
