"""The input of a data plane: what one Deployment should be. Frozen, complete, free of Django."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from apps.dataplane.hibernation.plans import HibernationPlan
from apps.dataplane.production import Pairs, ProductionSpec, Toleration

ExecutorName = Literal["celery", "local", "kubernetes"]


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec:
    """A tested pair of Airflow version and image; `lock_path` is the hashed lock of the local
    plane.
    """

    version: str
    airflow_version: str
    image: str
    lock_path: str


@dataclass(frozen=True, kw_only=True)
class WorkerQueue:
    """A named Celery queue. `concurrency` is tasks per worker; between `min_workers` and
    `max_workers` run. `size` is one of the plane's worker sizes. On Kubernetes `node_selector`
    replaces that of the Deployment, `tolerations` come on top of its own, `disk_gib` is the most
    of ephemeral storage and `gpus` are those of NVIDIA.
    """

    name: str
    concurrency: int
    min_workers: int
    max_workers: int
    size: str = "A5"
    node_selector: Pairs = ()
    tolerations: tuple[Toleration, ...] = ()
    disk_gib: int = 10
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class VariableSpec:
    """An environment variable of every component that runs user code. A secret's value is plaintext
    here.
    """

    key: str
    value: str = field(repr=False)
    is_secret: bool


@dataclass(frozen=True, kw_only=True)
class CodeSpec:
    """One immutable version of a dags folder: a zip archive at `archive_path`, named by its SHA-256
    `digest`.
    """

    digest: str
    archive_path: str


@dataclass(frozen=True, kw_only=True)
class PackagesSpec:
    """The packages that a project adds to its runtime: a hashed lock at `lock_path`, named by its
    SHA-256 `digest`. `image` holds them on top of the runtime's, as `repository@sha256:…`; "" where
    there is none, because none was made yet or the plane needs none.
    """

    digest: str
    lock_path: str
    image: str = ""


@dataclass(frozen=True, kw_only=True)
class PackageIndex:
    """An index of people's own, which is asked for packages before the public one, or in its place
    where `is_only`. `key` is lower-case letters, digits and hyphens, another after each change;
    `url` is https, without a slash at its end.
    """

    key: str
    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca_certificate: str = field(default="", repr=False)
    is_only: bool = False


@dataclass(frozen=True, kw_only=True)
class AirflowSecrets:
    """Made once by the portal when the Deployment is created, so that no restart changes them."""

    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    api_secret_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RestoreSpec:
    """A backup that takes the place of the metadata database, once for each `key`.

    `dump_path` is an archive of pg_dump with that SHA-256, of a database at `airflow_version`.
    `pauses_dags` pauses every DAG in it, so that a copy of a Deployment runs nothing by itself.
    `is_fetched`: the file appears when the portal has it, or beside it the note why it does not.
    A cluster gets the `size_bytes` from `url` instead, which is good for this object and for some
    hours; `ca_certificate` (PEM) is trusted there beside public ones. `postgres` is the major
    version of the pg_dump that wrote it. Of what the portal puts into the bucket first, `waiting`
    says why there is no `url` yet, and is empty once there is.
    """

    key: str
    dump_path: str
    sha256: str
    airflow_version: str
    pauses_dags: bool = False
    is_fetched: bool = False
    url: str = field(default="", repr=False)
    size_bytes: int = 0
    ca_certificate: str = ""
    postgres: int = 0
    waiting: str | None = None


@dataclass(frozen=True, kw_only=True)
class DumpTarget:
    """Where the parts of one dump go: addresses for PUT, in their order, each good for one part of
    up to `part_bytes` and for some hours. `ca_certificate` (PEM) is trusted beside public ones.
    """

    part_urls: tuple[str, ...] = field(repr=False)
    part_bytes: int
    ca_certificate: str = ""


def failed_note(dump_path: Path) -> Path:
    """Return the file that says why the portal could not fetch a backup."""
    return dump_path.with_name(f"{dump_path.name}.failed")


@dataclass(frozen=True, kw_only=True)
class SignInSpec:
    """How Airflow trusts the portal: Ed25519 tokens, `iss` = issuer, `aud` = audience."""

    portal_url: str
    issuer: str
    audience: str
    public_key_pem: str


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """Everything a data plane needs to apply one Deployment.

    `ref` is the immutable name on the data plane: `[a-z][a-z0-9-]{0,38}[a-z0-9]`, unique per
    portal. `queues` is empty unless the executor is Celery; then exactly one queue is called
    `default`. `code` is None until the first deploy: the plane then serves the example DAGs.
    `packages` is None where the code needs none beside those of the runtime.
    `corrects_drift` False means that what others change on the data plane is shown and left alone.
    `database_server` is where a Kubernetes plane put the metadata database: `host:port`, empty for
    the Deployment's own namespace, None for wherever the cluster puts new ones.
    `restarts` counts the restarts that people asked for; another number restarts every component.
    `restore` is None unless this revision restores a backup.
    `environment` is JSON of the connections and Airflow variables that `portal_secrets` serves,
    empty without any: a change of it restarts nothing.
    `image_pull_secret` is the `.dockerconfigjson` that pulls the runtime's image, empty where the
    cluster's own does.
    `hibernation` is when nothing of it runs, for planes that keep time themselves; `is_hibernating`
    is what that says now, for the others.
    `package_indexes` are where packages are looked for first, in this order. They matter where
    packages are chosen or installed, and are empty in a spec that does neither.
    """

    ref: str
    name: str
    revision: int
    runtime: RuntimeSpec
    executor: ExecutorName
    queues: tuple[WorkerQueue, ...]
    variables: tuple[VariableSpec, ...]
    code: CodeSpec | None
    secrets: AirflowSecrets
    sign_in: SignInSpec
    corrects_drift: bool = True
    database_server: str | None = None
    packages: PackagesSpec | None = None
    restore: RestoreSpec | None = None
    image_pull_secret: str = field(default="", repr=False)
    package_indexes: tuple[PackageIndex, ...] = ()
    settings: ProductionSpec = ProductionSpec()
    environment: str = field(default="", repr=False)
    restarts: int = 0
    hibernation: HibernationPlan = HibernationPlan()
    is_hibernating: bool = False


def restart_mark(spec: DeploymentSpec) -> dict[str, str]:
    """Return the variable of Airflow's processes that differs once a restart was asked for."""
    return {"PORTAL_RESTARTS": str(spec.restarts)} if spec.restarts else {}
