"""NetworkPolicies as nftables rules: packets between the pods of one node are passed or dropped.

`nftables_rules` is pure. What the node itself sends (probes, DNS, the API server's proxy) is not
subject to policies, as it does not pass the forward hook.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
TABLE = "pods"


@dataclass(frozen=True)
class Peer:
    """The other end of a connection: an nftables address expression, and the pod if it is one."""

    match: str
    pod: Object | None = None


@dataclass(frozen=True)
class Direction:
    """`own` and `other` are what nftables calls the pod's address and the peer's."""

    name: str
    policy_type: str
    own: str
    other: str
    peers_key: str
    priority: int


DIRECTIONS = (
    Direction("egress", "Egress", "saddr", "daddr", "to", 10),
    Direction("ingress", "Ingress", "daddr", "saddr", "from", 20),
)


def nftables_rules(*, pods: list[Object], namespaces: list[Object], policies: list[Object]) -> str:
    """Return a script that replaces all rules in one step."""
    labels = {item["metadata"]["name"]: _labels(item) for item in namespaces}
    alive = [pod for pod in pods if _has_address(pod)]
    chains = [_chain(direction, alive, labels, policies) for direction in DIRECTIONS]
    return "\n".join(
        [f"table ip {TABLE} {{}}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", *chains, "}"]
    )


def _chain(
    direction: Direction, pods: list[Object], labels: dict[str, Any], policies: list[Object]
) -> str:
    lines = [
        f"chain {direction.name} {{",
        f"type filter hook forward priority {direction.priority};",
        "ct state established,related accept",
    ]
    for pod in pods:
        bound = [policy for policy in policies if _binds(policy, pod, direction)]
        if not bound:
            continue
        head = f"ip {direction.own} {pod['status']['podIP']}"
        for policy in bound:
            for rule in policy["spec"].get(direction.name) or []:
                passed = _passed(rule, policy, pod, direction, pods, labels)
                lines += [f"{head} {match} accept" for match in passed]
        lines.append(f"{head} counter drop")
    return "\n".join([*lines, "}"])


def _passed(
    rule: Object,
    policy: Object,
    pod: Object,
    direction: Direction,
    pods: list[Object],
    labels: dict[str, Any],
) -> Iterator[str]:
    peers = [Peer("")]
    if rule.get(direction.peers_key):
        namespace = policy["metadata"]["namespace"]
        peers = [
            found
            for peer in rule[direction.peers_key]
            for found in _peers(peer, namespace, direction, pods, labels)
        ]
    for peer in peers:
        # A named port is one of the pod that is connected to.
        target = pod if direction.name == "ingress" else peer.pod
        for port in _ports(rule, target):
            yield f"{peer.match} {port}".strip()


def _peers(
    peer: Object, namespace: str, direction: Direction, pods: list[Object], labels: dict[str, Any]
) -> Iterator[Peer]:
    address = f"ip {direction.other}"
    if block := peer.get("ipBlock"):
        if ":" in block["cidr"]:
            # The node speaks IPv4 alone.
            return
        excepted = [f"{address} != {part}" for part in block.get("except") or []]
        yield Peer(" ".join([f"{address} {block['cidr']}", *excepted]))
        return
    for pod in pods:
        home = pod["metadata"]["namespace"]
        spaces = peer.get("namespaceSelector")
        is_there = home == namespace if spaces is None else _matches(spaces, labels[home])
        chosen = peer.get("podSelector")
        if is_there and (chosen is None or _matches(chosen, _labels(pod))):
            yield Peer(f"{address} {pod['status']['podIP']}", pod)


def _ports(rule: Object, target: Object | None) -> Iterator[str]:
    if not rule.get("ports"):
        yield ""
    for entry in rule.get("ports") or []:
        protocol, port = entry.get("protocol", "TCP"), entry.get("port")
        if port is None:
            yield f"meta l4proto {protocol.lower()}"
        elif isinstance(port, str):
            for number in _named_ports(target, port, protocol):
                yield f"{protocol.lower()} dport {number}"
        else:
            last = f"-{entry['endPort']}" if entry.get("endPort") else ""
            yield f"{protocol.lower()} dport {port}{last}"


def _named_ports(pod: Object | None, name: str, protocol: str) -> list[int]:
    containers = pod["spec"]["containers"] if pod else []
    return [
        port["containerPort"]
        for container in containers
        for port in container.get("ports") or []
        if port.get("name") == name and port.get("protocol", "TCP") == protocol
    ]


def _binds(policy: Object, pod: Object, direction: Direction) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    is_here = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    chosen = _matches(spec.get("podSelector") or {}, _labels(pod))
    return is_here and direction.policy_type in types and chosen


def _matches(selector: Object, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_holds(term, labels) for term in selector.get("matchExpressions") or [])


def _holds(term: Object, labels: dict[str, str]) -> bool:
    key, values = term["key"], term.get("values") or []
    match term["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
    return key not in labels


def _labels(item: Object) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def _has_address(pod: Object) -> bool:
    status = pod.get("status") or {}
    is_alive = status.get("phase") in ("Pending", "Running")
    return bool(status.get("podIP")) and is_alive and not pod["spec"].get("hostNetwork")
