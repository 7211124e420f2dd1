from typing import Any

import pytest

from tests.cluster.network_policies import nftables_rules

ANY: dict[str, Any] = {}


def pod(name: str, address: str, namespace: str = "here", **labels: str) -> dict[str, Any]:
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [{"ports": ports}]},
        "status": {"phase": "Running", "podIP": address},
    }


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "here"}, "spec": {"podSelector": {}, **spec}}


def rules(*policies: dict[str, Any]) -> str:
    return nftables_rules(
        pods=[
            pod("web", "10.0.0.1", app="web"),
            pod("db", "10.0.0.2", app="db"),
            pod("other", "10.0.0.3", namespace="there", app="web"),
        ],
        namespaces=[
            {"metadata": {"name": "here", "labels": {"team": "a"}}},
            {"metadata": {"name": "there", "labels": {"team": "b"}}},
        ],
        policies=list(policies),
    )


def test_without_policies_nothing_is_dropped() -> None:
    assert "drop" not in rules()


def test_a_policy_without_rules_closes_its_own_namespace_alone() -> None:
    made = rules(policy(policyTypes=["Ingress"]))

    assert "ip daddr 10.0.0.1 counter drop" in made
    assert "ip daddr 10.0.0.2 counter drop" in made
    assert "10.0.0.3" not in made
    assert "saddr 10.0.0.1 counter drop" not in made


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ({"podSelector": {"matchLabels": {"app": "web"}}}, "10.0.0.1"),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, "10.0.0.3"),
        ({"podSelector": ANY, "namespaceSelector": {"matchLabels": {"team": "b"}}}, "10.0.0.3"),
        (
            {
                "podSelector": {
                    "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]
                }
            },
            "10.0.0.1",
        ),
    ],
)
def test_a_peer_is_let_in_on_the_named_port(peer: dict[str, Any], address: str) -> None:
    rule = {"from": [peer], "ports": [{"port": "http"}]}
    chosen = {"matchLabels": {"app": "db"}}

    made = rules(policy(podSelector=chosen, policyTypes=["Ingress"], ingress=[rule]))

    accepted = [line for line in made.splitlines() if line.endswith("accept") and "daddr" in line]
    assert accepted == [f"ip daddr 10.0.0.2 ip saddr {address} tcp dport 8080 accept"]


def test_an_address_block_keeps_its_exceptions() -> None:
    block = {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}
    six = {"ipBlock": {"cidr": "::/0"}}

    made = rules(policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}, six]}]))

    match = "ip saddr 10.0.0.1 ip daddr 0.0.0.0/0 ip daddr != 169.254.0.0/16 accept"
    assert match in made
    assert "::" not in made


def test_a_rule_without_peers_lets_everybody_in() -> None:
    made = rules(
        policy(policyTypes=["Ingress"], ingress=[{"ports": [{"port": 53, "endPort": 54}]}])
    )

    assert "ip daddr 10.0.0.1 tcp dport 53-54 accept" in made
