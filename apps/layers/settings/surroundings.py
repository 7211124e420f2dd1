"""What lies around an Airflow: secrets and volumes, metrics and traces, the network."""

from apps.layers.kinds.amounts import SwitchKind
from apps.layers.kinds.certificates import CertificatesKind
from apps.layers.kinds.collectors import CollectorKind
from apps.layers.kinds.labels import LabelsKind
from apps.layers.kinds.network import AddressKind, HostsKind, ProxyKind
from apps.layers.kinds.objects import MountsKind, SecretVariablesKind
from apps.layers.setting import OF_CLUSTERS, Setting

SURROUNDINGS = (
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
