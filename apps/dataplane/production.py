"""What production needs of a Deployment's pods: sizes, replicas, nodes, limits. Each field has a
default with which a data plane does what it does without it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a component gets: up to `cpu_millis`, and exactly `memory_mib`."""

    cpu_millis: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class Toleration:
    """A taint of nodes that pods tolerate. An empty `value` tolerates any, an empty `effect` all
    effects.
    """

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeRequirement:
    """What a label of a node has to be; `operator` is one of Kubernetes: `In`, `NotIn`, `Exists` or
    `DoesNotExist`, of which the last two have no `values`.
    """

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SecretVariable:
    """A variable whose value is the `key` of a Secret that is in the namespace already."""

    variable: str
    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A volume of people's own: a `claim`, `configmap` or `secret` that is in the namespace."""

    kind: str
    name: str
    path: str
    is_read_only: bool = True


@dataclass(frozen=True, kw_only=True)
class WorkloadIdentity:
    """What tasks are to a cloud. `kind` is how the cloud learns it: `irsa` or `eks-pod-identity`
    with the ARN of a role, `azure` with a client id, `google` with the email of a service account.
    """

    kind: str
    name: str


Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ProductionSpec:
    """The effective settings of a Deployment. A size of None is the plane's usual one. Disks are
    the most of ephemeral storage. The quotas of None are what the plane finds enough for its
    components and workers; `quota_cpu` is in thousandths of a CPU, `quota_memory` in MiB.
    `statsd_address` is `host:port`. Proxies are URLs, `no_proxy` hosts with commas.
    `high_availability` runs two of scheduler, api-server and triggerer at least, on different nodes
    and in different zones where there are some.
    `mesh_opt_out` keeps the sidecars of a mesh out of Jobs, which would never end beside them.
    `workspace_cpu` and `workspace_memory` are the most that all Deployments of a workspace may
    request together; no data plane reads them.
    Where `triggerer_most_replicas` is more than the replicas, KEDA runs as many triggerers as
    deferred tasks need. `otel_metrics` and `otel_traces` are URLs that take OTLP over HTTP.
    `pgbouncer` puts one before the metadata database, in transaction mode.
    `ca_bundle` has certificates (PEM) of CAs that are trusted beside the public ones.
    With `prometheus` an exporter beside Airflow has its metrics for those pods, of namespaces that
    are no Deployment's, that have the labels `prometheus_pods`.
    With `pod_operator` tasks may start pods in the namespace of the Deployment;
    `pod_operator_allowed` is what its cluster says to that.
    """

    scheduler_size: Size | None = None
    api_server_size: Size | None = None
    dag_processor_size: Size | None = None
    triggerer_size: Size | None = None
    scheduler_disk_gib: int = 2
    api_server_disk_gib: int = 2
    dag_processor_disk_gib: int = 5
    triggerer_disk_gib: int = 2
    scheduler_replicas: int = 1
    api_server_replicas: int = 1
    dag_processor_replicas: int = 1
    triggerer_replicas: int = 1
    triggerer_most_replicas: int = 1
    high_availability: bool = False
    node_selector: Pairs = ()
    node_affinity: tuple[NodeRequirement, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    allowed_priority_classes: tuple[str, ...] = ()
    workload_identity: WorkloadIdentity | None = None
    allowed_workload_identities: tuple[WorkloadIdentity, ...] = ()
    pod_labels: Pairs = ()
    pod_annotations: Pairs = ()
    task_pods: int = 64
    quota_cpu: int | None = None
    quota_memory: int | None = None
    mesh_opt_out: bool = False
    secret_variables: tuple[SecretVariable, ...] = ()
    mounts: tuple[Mount, ...] = ()
    statsd_address: str = ""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    ca_bundle: str = ""
    pgbouncer: bool = False
    workspace_cpu: int | None = None
    workspace_memory: int | None = None
    otel_metrics: str = ""
    otel_traces: str = ""
    prometheus: bool = False
    prometheus_pods: tuple[tuple[str, str], ...] = ()
    pod_operator: bool = False
    pod_operator_allowed: bool = False

    @property
    def has_exporter(self) -> bool:
        """Whether a Prometheus has metrics: Airflow sends them to one place, and OpenTelemetry is
        another.
        """
        return self.prometheus and not self.otel_metrics
