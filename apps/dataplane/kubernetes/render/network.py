"""Network policies: no traffic except what is listed here."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.render.identity import cloud_of, reads_logs
from apps.dataplane.kubernetes.render.peers import NAMES, anywhere
from apps.dataplane.kubernetes.render.pods import database
from apps.dataplane.kubernetes.render.pods.access import HIBERNATION
from apps.dataplane.kubernetes.render.target import (
    API_PORT,
    EXPORTER_SERVICE,
    METRICS_PORT,
    POOLER_PORT,
    POOLER_SERVICE,
    STATSD_PORT,
    Target,
)

COMPONENT = "network"
CORE = ("api-server", "scheduler", "dag-processor", "triggerer")
RUNS_TASKS = ("worker", "task")
HAS_IDENTITY = (*RUNS_TASKS, "triggerer")
DATABASE_JOBS = ("migration", "history-cleanup")
AIRFLOW = (*CORE, *RUNS_TASKS, *DATABASE_JOBS)
KEDA = {"app": "keda-operator"}
# Of kube-prometheus, its operator and the charts of prometheus-community.
PROMETHEUS = {"app.kubernetes.io/name": "prometheus"}


def policies(target: Target) -> tuple[Manifest, ...]:
    """Return the NetworkPolicies of the namespace."""
    found = [_deny_all(target), _names(target), _outside(target), _to_api_server(target)]
    if target.keeps_time:
        found.append(_to_kubernetes(target))
    if cloud_of(target).addresses:
        found.append(_to_identity(target))
    if target.spec.executor == "celery":
        found.append(_ingress(target, "redis", 6379, _pods("api-server", "scheduler", "worker")))
    if target.config.database is None:
        found.append(_ingress(target, "postgres", database.PORT, _to_database(target)))
    if target.spec.settings.pgbouncer:
        found.append(_ingress(target, POOLER_SERVICE, POOLER_PORT, _pods(*CORE)))
    if target.spec.settings.has_exporter:
        found.append(_to_exporter(target))
    if not target.has_shared_logs:
        found += [
            _ingress(target, component, port, _pods("api-server"))
            for component, port in _log_servers(target)
        ]
    return tuple(found)


def _deny_all(target: Target) -> Manifest:
    return _policy(target, "deny-all", {}, policyTypes=["Ingress", "Egress"])


def _names(target: Target) -> Manifest:
    return _policy(target, "names", {}, policyTypes=["Egress"], egress=[NAMES])


def _outside(target: Target) -> Manifest:
    """Let Airflow and user code reach anything but the nodes' credentials.

    What must not be reached (other Deployments, this one's database) is closed by ingress policies
    of its own.
    """
    settings = target.spec.settings
    pooler = (POOLER_SERVICE,) if settings.pgbouncer else ()
    relays = (EXPORTER_SERVICE,) if settings.has_exporter and settings.statsd_address else ()
    inside = (*AIRFLOW, *pooler, *relays)
    return _policy(
        target, "outside", _one_of(inside), policyTypes=["Egress"], egress=[{"to": anywhere()}]
    )


def _to_kubernetes(target: Target) -> Manifest:
    """Let the program that keeps time reach the API of the cluster, whose address is unknown."""
    selector = {"matchLabels": target.selector(HIBERNATION)}
    egress = [{"to": anywhere()}]
    return _policy(target, HIBERNATION, selector, policyTypes=["Egress"], egress=egress)


def _to_identity(target: Target) -> Manifest:
    """Let what has the identity reach the one address where its cloud gives it credentials, and no
    other address of the node.
    """
    rules = [
        {
            "to": [{"ipBlock": {"cidr": block}}],
            "ports": [{"port": port, "protocol": "TCP"}],
        }
        for block, port in cloud_of(target).addresses
    ]
    selector = _one_of(_with_identity(target))
    return _policy(target, "identity", selector, policyTypes=["Egress"], egress=rules)


def _with_identity(target: Target) -> tuple[str, ...]:
    runs_tasks = ("scheduler",) if target.spec.executor == "local" else ()
    shows_logs = ("api-server",) if reads_logs(target) else ()
    return (*HAS_IDENTITY, *runs_tasks, *shows_logs)


def _to_api_server(target: Target) -> Manifest:
    """Allow all sources: people come through the Kubernetes API's proxy, whose address is unknown
    here, and tasks from pods. Every path but version and health requires a token.
    """
    rule = {"ports": [{"port": API_PORT, "protocol": "TCP"}]}
    selector = {"matchLabels": target.selector("api-server")}
    return _policy(target, "to-api-server", selector, policyTypes=["Ingress"], ingress=[rule])


def _to_database(target: Target) -> list[dict[str, Any]]:
    pooler = (POOLER_SERVICE,) if target.spec.settings.pgbouncer else ()
    peers = _pods(*CORE, *DATABASE_JOBS, *pooler)
    if target.uses_keda:
        peers.append(_elsewhere(KEDA))
    return peers


def _elsewhere(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return pods of the cluster's own, and not from the namespaces of other Deployments: their
    users may label pods as they like.
    """
    others = {"matchExpressions": [{"key": names.PORTAL_LABEL, "operator": "DoesNotExist"}]}
    return {"namespaceSelector": others, "podSelector": {"matchLabels": dict(labels)}}


def _to_exporter(target: Target) -> Manifest:
    """Let Airflow send metrics, and the cluster's Prometheus scrape them."""
    rules = [
        {"from": _pods(*AIRFLOW), "ports": [{"port": STATSD_PORT, "protocol": "UDP"}]},
        {
            "from": [_elsewhere(dict(target.spec.settings.prometheus_pods) or PROMETHEUS)],
            "ports": [{"port": METRICS_PORT, "protocol": "TCP"}],
        },
    ]
    selector = {"matchLabels": target.selector(EXPORTER_SERVICE)}
    return _policy(
        target, f"to-{EXPORTER_SERVICE}", selector, policyTypes=["Ingress"], ingress=rules
    )


def _log_servers(target: Target) -> list[tuple[str, int]]:
    servers = [("triggerer", 8794)]
    if target.spec.executor == "celery":
        servers.append(("worker", 8793))
    if target.spec.executor == "local":
        servers.append(("scheduler", 8793))
    return servers


def _ingress(
    target: Target, component: str, port: int, peers: Sequence[dict[str, Any]]
) -> Manifest:
    rule = {"from": list(peers), "ports": [{"port": port, "protocol": "TCP"}]}
    selector = {"matchLabels": target.selector(component)}
    return _policy(target, f"to-{component}", selector, policyTypes=["Ingress"], ingress=[rule])


def _pods(*components: str) -> list[dict[str, Any]]:
    return [{"podSelector": _one_of(components)}]


def _one_of(components: Sequence[str]) -> dict[str, Any]:
    expression = {"key": names.COMPONENT_LABEL, "operator": "In", "values": list(components)}
    return {"matchExpressions": [expression]}


def _policy(target: Target, name: str, selector: dict[str, Any], **spec: Any) -> Manifest:
    return target.manifest(
        "networking.k8s.io/v1 NetworkPolicy",
        name,
        component=COMPONENT,
        spec={"podSelector": selector, **spec},
    )
