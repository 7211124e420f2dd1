"""The Deployments and clusters whose manifests are kept as golden files."""

from datetime import UTC, datetime
from typing import Any

from apps.dataplane.hibernation.plans import HibernationPlan, Override, Schedule
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import (
    ClusterConfig,
    Connection,
    DatabaseServer,
    ObjectStore,
)
from apps.dataplane.kubernetes.render import Stage, render
from apps.dataplane.production import (
    Mount,
    NodeRequirement,
    ProductionSpec,
    SecretVariable,
    Size,
    Toleration,
    WorkloadIdentity,
)
from apps.dataplane.spec import DeploymentSpec, PackagesSpec, SignInSpec, VariableSpec, WorkerQueue
from tests.dataplane import specs

REF = "tidy-comet"
LONGEST_REF = "r" + "0123456789" * 3 + "-12345678"
LONGEST_QUEUE = "q" + "-12345678" * 6 + "-1234567"
CANARY = "canary-5dd1c0ffee"

SIGN_IN = SignInSpec(
    portal_url="https://portal.test",
    issuer="https://portal.test",
    audience="airflow:tidy-comet",
    public_key_pem="-----BEGIN PUBLIC KEY-----\nbm90IGEga2V5\n-----END PUBLIC KEY-----\n",
)
HEAVY = WorkerQueue(name="heavy", concurrency=2, min_workers=1, max_workers=4, size="A40")
LONGEST = WorkerQueue(name=LONGEST_QUEUE, concurrency=5, min_workers=0, max_workers=2)
SERVER = DatabaseServer(
    host="db.example.test", port=6432, user="maker", password=f"{CANARY}-of:the/server@"
)
STORE = ObjectStore(
    url="s3://logs/airflow/",
    endpoint="https://s3.example.test",
    access_key="logs-key",
    secret_key=f"{CANARY}-of-the-store",
)
PULL_SECRET = '{"auths": {"registry.test": {"auth": "' + CANARY + '"}}}'
PACKAGES = PackagesSpec(
    digest="c0ffee" * 10 + "beef",
    lock_path="packages/lock.txt",
    image=f"registry.test/data/airflow@sha256:{'5e' * 32}",
)
ON_GPUS = WorkerQueue(
    name="gpu",
    concurrency=1,
    min_workers=0,
    max_workers=2,
    size="A20",
    node_selector=(("pool", "gpu"),),
    tolerations=(Toleration(key="nvidia.com/gpu"),),
    disk_gib=50,
    gpus=1,
)
PRODUCTION = ProductionSpec(
    scheduler_size=Size(cpu_millis=4000, memory_mib=8192),
    dag_processor_size=Size(cpu_millis=4000, memory_mib=8192),
    high_availability=True,
    triggerer_most_replicas=4,
    node_selector=(("pool", "airflow"),),
    node_affinity=(NodeRequirement(key="arch", operator="In", values=("amd64", "arm64")),),
    tolerations=(Toleration(key="gpu"), Toleration(key="spot", value="true", effect="NoSchedule")),
    priority_class="data-high",
    workload_identity=WorkloadIdentity(
        kind="irsa", name="arn:aws:iam::123456789012:role/airflow/etl"
    ),
    pod_labels=(("team", "data"),),
    pod_annotations=(("example.org/owner", "the data team"),),
    quota_cpu=24_000,
    quota_memory=98_304,
    secret_variables=(
        SecretVariable(variable="PASSWORD", secret="user-warehouse", key="password"),
    ),
    mounts=(
        Mount(kind="claim", name="user-data", path="/mnt/data", is_read_only=False),
        Mount(kind="secret", name="user-keys", path="/mnt/keys"),
    ),
    statsd_address="statsd.test:9125",
    otel_traces="http://otel.test:4318/v1/traces",
    pod_operator=True,
    https_proxy="http://proxy.test:3128",
    no_proxy=".corp.test",
    ca_bundle="-----BEGIN CERTIFICATE-----\nb25l\n-----END CERTIFICATE-----\n",
)
VARIABLES = (
    VariableSpec(key="GREETING", value="$(HOSTNAME) costs $5 and 100%\n…", is_secret=False),
    VariableSpec(key="AIRFLOW__CORE__PARALLELISM", value="7", is_secret=False),
    VariableSpec(key="AIRFLOW__WORKERS__EXECUTION_API_RETRIES", value="3", is_secret=True),
    VariableSpec(key="TOKEN", value=f"{CANARY}-of-$(the)-user", is_secret=True),
)


NIGHTS = HibernationPlan(
    schedules=(
        Schedule(
            hibernate_at="30 2 * * MON-FRI",
            wake_at="0 7 * * 1-5,7",
            time_zone="Europe/Oslo",
            description=f'{CANARY}: $(HOSTNAME) "…',
        ),
        Schedule(hibernate_at="0 1 1 * *", wake_at="0 9 1 * *", is_enabled=False),
    ),
    override=Override(
        is_hibernating=False,
        since=datetime(2026, 11, 27, 12, tzinfo=UTC),
        until=datetime(2026, 11, 29, 23, 59, 1, tzinfo=UTC),
    ),
)


def make_spec(**changes: Any) -> DeploymentSpec:
    ref = changes.pop("ref", REF)
    return specs.make_spec(ref, **{"sign_in": SIGN_IN, **changes})


def make_config(**changes: Any) -> ClusterConfig:
    fields: dict[str, Any] = {
        "connection": Connection(
            server="https://cluster.test", ca_certificate="", token=f"{CANARY}-of-the-cluster"
        ),
        "portal_id": "portal-1",
        "airflow_url": "https://airflow.test",
        "has_keda": True,
    }
    return ClusterConfig(**{**fields, **changes})


CASES: dict[str, tuple[DeploymentSpec, ClusterConfig]] = {
    "celery-keda": (make_spec(), make_config()),
    "celery-fixed": (make_spec(), make_config(has_keda=False, history_days=0)),
    "two-queues-variables": (
        make_spec(queues=(specs.DEFAULT_QUEUE, HEAVY), variables=VARIABLES),
        make_config(scale_down_seconds=10),
    ),
    "packages": (make_spec(packages=PACKAGES), make_config()),
    "kubernetes": (make_spec(executor="kubernetes", queues=()), make_config()),
    "local": (make_spec(executor="local", queues=()), make_config()),
    "server-and-store": (
        make_spec(image_pull_secret='{"auths": {"own.test": {"auth": "' + CANARY + '"}}}'),
        make_config(
            database=SERVER,
            object_store=STORE,
            image_pull_secret=PULL_SECRET,
            image_mirror="mirror.test:5000/docker-hub",
            storage_class="fast",
        ),
    ),
    "kubernetes-store": (
        make_spec(executor="kubernetes", queues=()),
        make_config(object_store=STORE, storage_class="fast", logs_storage_class="shared"),
    ),
    "production": (
        make_spec(settings=PRODUCTION, queues=(specs.DEFAULT_QUEUE, ON_GPUS)),
        make_config(),
    ),
    "pgbouncer": (
        make_spec(settings=ProductionSpec(pgbouncer=True)),
        make_config(),
    ),
    "timekeeping": (make_spec(hibernation=NIGHTS), make_config(may_scale=True)),
    "prometheus": (
        make_spec(settings=ProductionSpec(prometheus=True, statsd_address="statsd.test:9125")),
        make_config(),
    ),
    "longest-names": (
        make_spec(ref=LONGEST_REF, queues=(specs.DEFAULT_QUEUE, LONGEST)),
        make_config(database=SERVER, logs_storage_class="shared", logs_access="ReadWriteOnce"),
    ),
}


def stages_of(case: str) -> tuple[Stage, ...]:
    spec, config = CASES[case]
    return render(spec=spec, config=config)


def manifests_of(case: str) -> list[Manifest]:
    return manifests(stages_of(case))


def manifests(stages: tuple[Stage, ...]) -> list[Manifest]:
    return [manifest for stage in stages for manifest in stage.objects]
