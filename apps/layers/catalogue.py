"""Every setting that has layers, in the order of the forms."""

from collections.abc import Iterable, Mapping
from typing import Any

from apps.dataplane.production import ProductionSpec
from apps.layers.certificates import CertificatesKind
from apps.layers.collectors import CollectorKind
from apps.layers.identities import IdentitiesKind, IdentityKind
from apps.layers.kinds import (
    AddressKind,
    CpuKind,
    HostsKind,
    LabelsKind,
    MemoryKind,
    MountsKind,
    NameKind,
    NamesKind,
    NumberKind,
    ProxyKind,
    SecretVariablesKind,
    SizeKind,
    SwitchKind,
    TolerationsKind,
)
from apps.layers.setting import OF_CLUSTERS, OF_TEAMS, OF_WORKSPACES, LayerName, Setting


def _size(component: str, label: str, what: str) -> Setting:
    return Setting(
        name=f"{component}_size",
        label=f"{label} size",
        group="Sizes",
        kind=SizeKind(),
        default="small",
        help=what,
        restarts="components",
    )


def _replicas(component: str, label: str, most: int, what: str) -> Setting:
    return Setting(
        name=f"{component}_replicas",
        label=f"{label} replicas",
        group="Replicas",
        kind=NumberKind(floor=1, ceiling=most),
        default="1",
        help=what,
        restarts="components",
    )


_ALL = (
    _size("scheduler", "Scheduler", "Small for 50 DAGs, medium for 250, large for 1,000."),
    _size("api_server", "API server", "It serves the web interface, and tasks that run."),
    _size("dag_processor", "DAG processor", "It parses as many files at once as it has CPUs."),
    _size("triggerer", "Triggerer", "Medium for more than a thousand deferred tasks."),
    Setting(
        name="high_availability",
        label="High availability",
        group="Replicas",
        kind=SwitchKind(),
        default="off",
        help="Two of scheduler, API server and triggerer at least, in different zones and on "
        "different nodes where there are some.",
        restarts="components",
    ),
    _replicas("scheduler", "Scheduler", 4, "More than one share the work."),
    _replicas("api_server", "API server", 8, "Requests are spread over them."),
    _replicas("dag_processor", "DAG processor", 4, "Each parses all files."),
    _replicas("triggerer", "Triggerer", 4, "Deferred tasks are spread over them."),
    _replicas(
        "triggerer_most",
        "Triggerer most",
        10,
        "With more than the replicas, and KEDA, there are as many as deferred tasks need.",
    ),
    Setting(
        name="pgbouncer",
        label="PgBouncer",
        group="Database",
        kind=SwitchKind(),
        default="off",
        help="A connection pooler before the metadata database: many processes of Airflow share a "
        "few connections to the server. Worth it from two schedulers or API servers on.",
        restarts="components",
    ),
    Setting(
        name="node_selector",
        label="Node selector",
        group="Nodes",
        kind=LabelsKind(),
        help="Pods run only on nodes with these labels.",
    ),
    Setting(
        name="tolerations",
        label="Tolerations",
        group="Nodes",
        kind=TolerationsKind(),
        help="Taints of nodes that pods may run on. One a line, like spot=true:NoSchedule.",
    ),
    Setting(
        name="priority_class",
        label="Priority class",
        group="Nodes",
        kind=NameKind(),
        help="One of those that the cluster allows. Pods with a higher priority get nodes first.",
    ),
    Setting(
        name="allowed_priority_classes",
        label="Allowed priority classes",
        group="Nodes",
        kind=NamesKind(),
        layers=OF_CLUSTERS,
        help="Priority classes that Deployments may choose. One a line.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="workload_identity",
        label="Workload identity",
        group="Identity in the cloud",
        kind=IdentityKind(),
        layers=OF_TEAMS,
        help="What workers, task pods and the triggerer are to AWS, Azure or Google Cloud, so that "
        "no key is needed. One of those that the cluster allows.",
    ),
    Setting(
        name="allowed_workload_identities",
        label="Allowed workload identities",
        group="Identity in the cloud",
        kind=IdentitiesKind(),
        layers=OF_CLUSTERS,
        help="Identities that Deployments may choose, one a line, like irsa "
        "arn:aws:iam::123456789012:role/etl-*. A star stands for a part of a name. The kinds are "
        "irsa, eks-pod-identity, azure and google. Who is taken off the list loses the identity.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="pod_labels",
        label="Pod labels",
        group="Labels",
        kind=LabelsKind(refuses_reserved=True),
        help="Added to every pod, for cost reports or policies.",
    ),
    Setting(
        name="pod_annotations",
        label="Pod annotations",
        group="Labels",
        kind=LabelsKind(refuses_reserved=True, is_free=True),
        help="Added to every pod.",
    ),
    Setting(
        name="mesh_opt_out",
        label="Jobs without mesh",
        group="Labels",
        kind=SwitchKind(),
        default="off",
        layers=OF_CLUSTERS,
        restarts="nothing",
        help="Keeps the sidecars of Istio and Linkerd out of Jobs, which would never end beside "
        "them.",
    ),
    Setting(
        name="quota_cpu",
        label="CPU quota",
        group="Quota",
        kind=CpuKind(),
        help="The most CPUs that all pods together may request. Empty: as much as components and "
        "workers need, several times over.",
        restarts="nothing",
    ),
    Setting(
        name="quota_memory",
        label="Memory quota",
        group="Quota",
        kind=MemoryKind(),
        help="The most memory that all pods together may request, like 64Gi. Empty: as much as "
        "components and workers need, several times over.",
        restarts="nothing",
    ),
    Setting(
        name="workspace_cpu",
        label="CPU quota of a workspace",
        group="Quota",
        kind=CpuKind(),
        layers=OF_WORKSPACES,
        help="The most CPUs that all Deployments of a workspace may request together, on all "
        "clusters. A change of one that would pass it is refused.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="workspace_memory",
        label="Memory quota of a workspace",
        group="Quota",
        kind=MemoryKind(),
        layers=OF_WORKSPACES,
        help="The most memory that all Deployments of a workspace may request together, like "
        "256Gi.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="task_pods",
        label="Task pods",
        group="Quota",
        kind=NumberKind(floor=1, ceiling=5000),
        default="64",
        help="How many tasks the Kubernetes executor runs at once, each in a pod of its own. With "
        "KubernetesPodOperator the quota has room for as many pods more.",
        restarts="components",
    ),
    Setting(
        name="pod_operator",
        label="KubernetesPodOperator",
        group="Pods of tasks",
        kind=SwitchKind(),
        default="off",
        layers=OF_TEAMS,
        help="Tasks may start pods in the namespace of the Deployment, read their logs and remove "
        "them. The cluster has to allow it.",
    ),
    Setting(
        name="pod_operator_allowed",
        label="Allow KubernetesPodOperator",
        group="Pods of tasks",
        kind=SwitchKind(),
        default="off",
        layers=OF_CLUSTERS,
        help="Deployments may switch it on. Their pods run under the policies for task pods, and "
        "count in the quota of their Deployment.",
        restarts="nothing",
        is_rule=True,
    ),
    Setting(
        name="secret_variables",
        label="Variables from Secrets",
        group="Secrets and volumes",
        kind=SecretVariablesKind(),
        help="Of Secrets in the namespace of the Deployment that others keep there, a secret store "
        "for example. Their names begin with user-. One a line, like "
        "PASSWORD=user-warehouse/password.",
    ),
    Setting(
        name="mounts",
        label="Volumes",
        group="Secrets and volumes",
        kind=MountsKind(),
        help="Claims, ConfigMaps and Secrets in the namespace whose names begin with user-, read "
        "only unless :rw follows. One a line, like claim/user-data=/mnt/data.",
    ),
    Setting(
        name="statsd_address",
        label="StatsD server",
        group="Metrics and traces",
        kind=AddressKind(),
        is_for_local=True,
        help="Where Airflow sends its metrics, like statsd.monitoring.svc:9125.",
    ),
    Setting(
        name="prometheus",
        label="Prometheus",
        group="Metrics and traces",
        kind=SwitchKind(),
        default="off",
        help="An exporter beside Airflow, which a Prometheus of the cluster scrapes. It passes "
        "metrics on to a StatsD server that is set. Not with OpenTelemetry metrics.",
        restarts="everything",
    ),
    Setting(
        name="prometheus_pods",
        label="Pods of Prometheus",
        group="Metrics and traces",
        kind=LabelsKind(),
        layers=OF_CLUSTERS,
        help="Labels of the pods that may scrape, outside the namespaces of Deployments. Empty: "
        "app.kubernetes.io/name=prometheus.",
        restarts="nothing",
    ),
    Setting(
        name="otel_metrics",
        label="OpenTelemetry metrics",
        group="Metrics and traces",
        kind=CollectorKind(signal="metrics"),
        is_for_local=True,
        help="A collector that takes OTLP over HTTP, like http://otel.monitoring.svc:4318, and not "
        "StatsD. Headers are the secret variable OTEL_EXPORTER_OTLP_HEADERS.",
    ),
    Setting(
        name="otel_traces",
        label="OpenTelemetry traces",
        group="Metrics and traces",
        kind=CollectorKind(signal="traces"),
        is_for_local=True,
        help="A collector that takes OTLP over HTTP, like http://otel.monitoring.svc:4318.",
    ),
    Setting(
        name="http_proxy",
        label="HTTP proxy",
        group="Network",
        kind=ProxyKind(),
        is_for_local=True,
        help="For http:// addresses, like http://proxy.example.org:3128. Airflow's own components "
        "are reached without it.",
    ),
    Setting(
        name="https_proxy",
        label="HTTPS proxy",
        group="Network",
        kind=ProxyKind(),
        is_for_local=True,
        help="For https:// addresses.",
    ),
    Setting(
        name="no_proxy",
        label="Hosts without proxy",
        group="Network",
        kind=HostsKind(),
        is_for_local=True,
        help="With commas, like .example.org,10.0.0.0/8. Services of the cluster are added.",
    ),
    Setting(
        name="ca_bundle",
        label="CA bundle",
        group="Network",
        kind=CertificatesKind(),
        is_for_local=True,
        help="Certificates of your company's CAs (PEM), trusted by every process of Airflow beside "
        "the public ones.",
    ),
)
SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _ALL}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(setting.group for setting in _ALL))


def settings_of(*, layer: LayerName, is_kubernetes: bool = True) -> tuple[Setting, ...]:
    """List what a layer may set, in the order of the form."""
    return tuple(
        setting
        for setting in _ALL
        if layer in setting.layers and (is_kubernetes or setting.is_for_local)
    )


def settings_on(*, is_kubernetes: bool) -> tuple[Setting, ...]:
    """List what holds for Deployments of one kind of cluster, whoever may set it."""
    return tuple(setting for setting in _ALL if is_kubernetes or setting.is_for_local)


def production_of(values: Mapping[str, str]) -> ProductionSpec:
    """Return what a data plane gets of effective texts, which their kinds took."""
    parsed: dict[str, Any] = {
        name: SETTINGS[name].kind.parse(text) for name, text in values.items()
    }
    return ProductionSpec(**parsed)


def known(values: Mapping[str, str]) -> dict[str, str]:
    """Leave out what a newer portal wrote."""
    return {name: text for name, text in values.items() if name in SETTINGS}


def labels_of(names: Iterable[str]) -> list[str]:
    """Return how people call settings, in the order of the form."""
    wanted = frozenset(names)
    return [setting.label for setting in _ALL if setting.name in wanted]
