"""Worker sizes, what each component of an Airflow gets, and how much code there may be.

The worker sizes are those that Astro sells: memory is 2 GiB per CPU, five tasks per CPU are usual,
fifteen the most.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from apps.dataplane.errors import Permanent
from apps.dataplane.production import ProductionSpec, Size
from apps.dataplane.spec import DeploymentSpec, ExecutorName, WorkerQueue
from apps.dataplane.status import Usage


@dataclass(frozen=True, kw_only=True)
class WorkerSize:
    """A worker of `cpus` and `memory_gib`: `usual_tasks` at once, or up to `most_tasks`."""

    name: str
    cpus: int
    memory_gib: int
    usual_tasks: int
    most_tasks: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one container gets: `cpu_millis` promised, up to `most_cpu_millis` if there is some to
    spare, and exactly `memory_mib`.
    """

    cpu_millis: int
    most_cpu_millis: int
    memory_mib: int
    disk_gib: int


def _size(cpus: int) -> WorkerSize:
    tasks = 5 * cpus
    return WorkerSize(
        name=f"A{tasks}",
        cpus=cpus,
        memory_gib=2 * cpus,
        usual_tasks=tasks,
        most_tasks=3 * tasks,
    )


SIZES = tuple(_size(cpus) for cpus in (1, 2, 4, 8, 12, 24, 32))
_BY_NAME = {size.name: size for size in SIZES}

# Tasks mostly wait for other machines, so a worker is promised a quarter of its CPUs and may use
# them all. Memory cannot be lent: what a pod has is reserved for it.
PROMISED_PART = 4

MIB_OF_API_WORKER = 4096
# Of a PgBouncer: probes, and programs that people run in a pod.
OTHER_CLIENTS = 50

# Code goes into ConfigMaps, which hold at most 1 MiB each, their names included.
SLOTS, SLOT_BYTES = 12, 1_000_000
MOST_CODE_BYTES = SLOTS * SLOT_BYTES
# Of one ConfigMap, which has 1 MiB with the names of its files.
MOST_PLUGIN_BYTES, MOST_PLUGIN_FILES = 800_000, 300

API_SERVER = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=1536, disk_gib=2)
SCHEDULER = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=1536, disk_gib=2)
DAG_PROCESSOR = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=1536, disk_gib=5)
TRIGGERER = Share(cpu_millis=100, most_cpu_millis=1000, memory_mib=1024, disk_gib=2)
MIGRATION = Share(cpu_millis=200, most_cpu_millis=2000, memory_mib=1024, disk_gib=2)
PREPARATION = Share(cpu_millis=20, most_cpu_millis=500, memory_mib=128, disk_gib=1)
CLEANUP = Share(cpu_millis=10, most_cpu_millis=500, memory_mib=64, disk_gib=5)
DATABASE = Share(cpu_millis=100, most_cpu_millis=2000, memory_mib=512, disk_gib=1)
POOLER = Share(cpu_millis=50, most_cpu_millis=1000, memory_mib=128, disk_gib=1)
EXPORTER = Share(cpu_millis=20, most_cpu_millis=500, memory_mib=256, disk_gib=1)
BROKER = Share(cpu_millis=20, most_cpu_millis=500, memory_mib=256, disk_gib=1)
WORKER_DISK_GIB = 10
# A task in a pod of its own, unless the task asks for more.
_CORE = {
    "api-server": API_SERVER,
    "scheduler": SCHEDULER,
    "dag-processor": DAG_PROCESSOR,
    "triggerer": TRIGGERER,
}
# Two of these are enough to lose a node and go on. A DAG processor that is lost is missed later.
_HIGHLY_AVAILABLE = frozenset({"api-server", "scheduler", "triggerer"})
TASK = Share(cpu_millis=250, most_cpu_millis=1000, memory_mib=1024, disk_gib=5)
# Beside the core, twice as it, too.
REST = (DATABASE, BROKER, MIGRATION, PREPARATION, CLEANUP)
# Workers that finish their tasks after an edit keep their memory for up to a day.
GENERATIONS = 4


def limits_of(spec: DeploymentSpec, counts: Mapping[str, int]) -> dict[str, Usage]:
    """Return the most that the pods of each component may use together, by how many run."""
    shares = {
        **{name: core_share(name, spec.settings) for name in _CORE},
        "postgres": DATABASE,
        "redis": BROKER,
        "pgbouncer": POOLER,
        "statsd": EXPORTER,
        **{
            f"worker {queue.name}": worker_share(queue.size)
            for queue in spec.queues
            if queue.size in _BY_NAME
        },
    }
    return {
        name: Usage(
            memory_bytes=count * shares[name].memory_mib * 1024**2,
            cpu_millis=count * shares[name].most_cpu_millis,
        )
        for name, count in counts.items()
        if name in shares and count > 0
    }


def core_share(component: str, settings: ProductionSpec) -> Share:
    """Return what a core component gets: its usual share, or that of the size that is set, and the
    disk that is set.
    """
    name = component.replace("-", "_")
    size: Size | None = getattr(settings, f"{name}_size")
    disk_gib: int = getattr(settings, f"{name}_disk_gib")
    if size is None:
        return replace(_CORE[component], disk_gib=disk_gib)
    return Share(
        cpu_millis=max(size.cpu_millis // PROMISED_PART, 1),
        most_cpu_millis=size.cpu_millis,
        memory_mib=size.memory_mib,
        disk_gib=disk_gib,
    )


def scheduler_share(settings: ProductionSpec, executor: ExecutorName) -> Share:
    """Return what a scheduler gets. The local executor runs tasks there: that of a worker."""
    if executor == "local":
        return worker_share("A10", max(settings.scheduler_disk_gib, WORKER_DISK_GIB))
    return core_share("scheduler", settings)


def replicas_of(component: str, settings: ProductionSpec, executor: ExecutorName) -> int:
    """Return how many pods of a core component run. With the local executor there is one scheduler:
    it is also the one worker.
    """
    if component == "scheduler" and executor == "local":
        return 1
    chosen: int = getattr(settings, f"{component.replace('-', '_')}_replicas")
    is_doubled = settings.high_availability and component in _HIGHLY_AVAILABLE
    return max(chosen, 2) if is_doubled else chosen


def core_shares(
    settings: ProductionSpec, executor: ExecutorName, *, is_most: bool = False
) -> list[Share]:
    """Return what each pod of the core gets; with `is_most` of all that KEDA may start."""
    shares = [
        core_share(name, settings)
        for name in _CORE
        for _ in range(replicas_of(name, settings, executor))
    ]
    least = replicas_of("triggerer", settings, executor)
    more = settings.triggerer_most_replicas - least if is_most else 0
    return [*shares, *[core_share("triggerer", settings)] * more]


def pooler_replicas(settings: ProductionSpec) -> int:
    """Return how many PgBouncers run."""
    if not settings.pgbouncer:
        return 0
    return 2 if settings.high_availability else 1


def api_workers(settings: ProductionSpec) -> int:
    """Return how many processes an api-server has: one for each 4 GiB."""
    return max(1, core_share("api-server", settings).memory_mib // MIB_OF_API_WORKER)


def pool_of(settings: ProductionSpec, executor: ExecutorName) -> tuple[int, int]:
    """Return how many clients one PgBouncer takes, and how many connections to the server it opens.

    A process of Airflow opens up to 15 connections (5, and 10 more for a while), an api-server's as
    many again by asyncio. During a rollout there are old ones beside new ones. How many are in
    transactions at once is far less.
    """
    count = {name: replicas_of(name, settings, executor) for name in _CORE}
    serving = count["api-server"] * api_workers(settings)
    others = count["dag-processor"] + max(count["triggerer"], settings.triggerer_most_replicas)
    clients = 2 * (15 * (count["scheduler"] + others) + 30 * serving) + OTHER_CLIENTS
    connections = 5 * (count["scheduler"] + serving) + 3 * others
    return clients, -(-connections // max(pooler_replicas(settings), 1))


def least_requests(
    spec: ProductionSpec, *, executor: ExecutorName, queues: Iterable[WorkerQueue]
) -> tuple[int, int]:
    """Return the thousandths of a CPU and the MiB that a Deployment requests at least: components,
    one that is being replaced, database, broker and each queue's min workers, one of each at least.
    """
    core = core_shares(spec, executor)
    largest = max(core, key=lambda share: share.memory_mib)
    shares = [*core, largest, DATABASE, BROKER, MIGRATION, *[POOLER] * pooler_replicas(spec)]
    shares += [EXPORTER] * spec.has_exporter
    for queue in queues:
        shares += [worker_share(queue.size)] * max(queue.min_workers, 1)
    return sum(one.cpu_millis for one in shares), sum(one.memory_mib for one in shares)


@dataclass(frozen=True, kw_only=True)
class Most:
    """The most that the pods of a Deployment may request together, and of how many containers."""

    cpu_millis: int
    memory_mib: int
    containers: int


def most_requests(
    settings: ProductionSpec, *, executor: ExecutorName, queues: Iterable[WorkerQueue]
) -> Most:
    """Return the quota of a Deployment: all its workers several times over, as old ones finish
    their tasks beside new ones, and a number of task pods; or what the settings say. Raises
    Permanent for an unknown size.
    """
    shares = [*core_shares(settings, executor, is_most=True), *REST] * 2
    shares += [POOLER] * 2 * pooler_replicas(settings)
    shares += [EXPORTER] * 2 * settings.has_exporter
    kinds_of_pods = (executor == "kubernetes") + settings.pod_operator
    shares += [TASK] * settings.task_pods * kinds_of_pods
    for queue in queues:
        shares += [worker_share(queue.size)] * queue.max_workers * GENERATIONS
    return Most(
        cpu_millis=settings.quota_cpu or sum(share.cpu_millis for share in shares),
        memory_mib=settings.quota_memory or sum(share.memory_mib for share in shares),
        containers=len(shares),
    )


def cpus(millis: int) -> str:
    """Return a quantity of CPU as the API server would write it."""
    return f"{millis}m" if millis % 1000 else str(millis // 1000)


def mebibytes(count: int) -> str:
    """Return a quantity of memory as the API server would write it."""
    return f"{count}Mi" if count % 1024 else f"{count // 1024}Gi"


def worker_share(size: str, disk_gib: int = WORKER_DISK_GIB) -> Share:
    """Return what a worker of this size gets. Raises Permanent for an unknown size."""
    found = _BY_NAME.get(size)
    if found is None:
        names = ", ".join(_BY_NAME)
        raise Permanent(f"There is no worker size {size}. A cluster has {names}.")
    return Share(
        cpu_millis=found.cpus * 1000 // PROMISED_PART,
        most_cpu_millis=found.cpus * 1000,
        memory_mib=found.memory_gib * 1024,
        disk_gib=disk_gib,
    )
