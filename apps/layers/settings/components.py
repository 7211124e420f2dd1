"""What runs: sizes and replicas of components, and a pooler before the database."""

from apps.layers.kinds.amounts import NumberKind, SizeKind, SwitchKind
from apps.layers.setting import Setting


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


def _disk(component: str, label: str, usual: str, what: str) -> Setting:
    return Setting(
        name=f"{component}_disk_gib",
        label=f"{label} disk in GiB",
        group="Sizes",
        kind=NumberKind(floor=1, ceiling=100),
        default=usual,
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


COMPONENTS = (
    _size("scheduler", "Scheduler", "Small for 50 DAGs, medium for 250, large for 1,000."),
    _size("api_server", "API server", "It serves the web interface, and tasks that run."),
    _size("dag_processor", "DAG processor", "It parses as many files at once as it has CPUs."),
    _size("triggerer", "Triggerer", "Medium for more than a thousand deferred tasks."),
    _disk(
        "scheduler",
        "Scheduler",
        "2",
        "The most of ephemeral storage. With the local executor, where tasks run there, 10 at "
        "least.",
    ),
    _disk("api_server", "API server", "2", "The most of ephemeral storage."),
    _disk("dag_processor", "DAG processor", "5", "The most of ephemeral storage, as of bundles."),
    _disk("triggerer", "Triggerer", "2", "The most of ephemeral storage."),
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
)
