"""Peers of network policies that several of them name."""

from typing import Any

NAMES: dict[str, Any] = {
    "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
}
# Where clouds serve the credentials and settings of a node to whoever asks from it.
_NODE_CREDENTIALS = ("169.254.0.0/16", "168.63.129.16/32")
_NODE_CREDENTIALS_6 = ("fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128")


def anywhere() -> list[dict[str, Any]]:
    """Return all addresses but those of nodes' credentials, and all pods: to some network plugins
    no pod is part of a block of addresses.
    """
    return [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NODE_CREDENTIALS)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_NODE_CREDENTIALS_6)}},
        {"namespaceSelector": {}},
    ]
