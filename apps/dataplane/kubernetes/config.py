"""What the portal knows of one Kubernetes cluster: how to reach it, and what it offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from apps.dataplane.clouds.identities import CloudIdentity
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.names import namespace_of

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Address and credential of a Kubernetes API. All PEM texts are inline; nothing names a file.

    Either `token`, or `client_certificate` with `client_key`, or `identity`, for which a cloud
    gives out tokens that end (see `clouds.tokens`). `namespaces` are those that the portal may
    write in, none where it may everywhere; `homes` are those of Deployments that took one, by ref.
    `tls_server_name` replaces the host of `server` in the check of its certificate. `networks` are
    the operator's further networks that `server` may lie in (see `addresses`); None leaves
    addresses unchecked. `proxy` is the address of an HTTP proxy on the way: then it is that one
    which has to lie in `networks`, and which resolves the name of `server`.
    """

    server: str
    ca_certificate: str
    token: str = field(default="", repr=False)
    client_certificate: str = ""
    client_key: str = field(default="", repr=False)
    tls_server_name: str = ""
    networks: tuple[str, ...] | None = None
    identity: CloudIdentity | None = None
    proxy: str = ""
    # Neither makes it another connection.
    namespaces: tuple[str, ...] = field(default=(), compare=False)
    homes: Mapping[str, str] = field(default_factory=dict, compare=False)

    def home(self, ref: str) -> str:
        """Return the namespace of a Deployment."""
        return self.homes.get(ref) or namespace_of(ref)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The namespaces to list in, in order: "" is all of them."""
        return tuple(sorted(self.homes.values())) if self.namespaces else ("",)

    def with_token(self, token: str) -> "Connection":
        """Return the same connection with another token."""
        return replace(self, token=token)


@dataclass(frozen=True, kw_only=True)
class DatabaseServer:
    """A PostgreSQL server that holds the metadata databases; the role may create roles and
    databases. `sslmode` is libpq's; `verify-ca` and `verify-full` need the CA certificate (PEM).
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    sslmode: str = "prefer"
    ca_certificate: str = ""

    @property
    def is_verified(self) -> bool:
        return self.sslmode in ("verify-ca", "verify-full")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """Where task logs go instead of a shared claim: `s3://bucket/prefix` and its keys,
    `gs://bucket/prefix` and the key of a service account (JSON),
    `wasbs://container@account.blob.core.windows.net/prefix` and the account's key, or
    `https://elastic.example.org:9200/prefix-of-indices` with a user (`access_key`) and a password,
    or with an API key alone. Without a key pods use what their service account is allowed.
    """

    url: str
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)

    @property
    def needs_identity(self) -> bool:
        """Whether it is a bucket that pods reach by what their service account is in the cloud."""
        return not self.secret_key and not self.is_elasticsearch

    @property
    def is_google(self) -> bool:
        return self.url.startswith("gs://")

    @property
    def is_azure(self) -> bool:
        return self.url.startswith("wasbs://")

    @property
    def is_elasticsearch(self) -> bool:
        return self.url.startswith("https://")


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images with packages of projects are stored: `repository` is `host[:port]/path`, and
    the user may push there. The runtime's image is read from `runtime_repository`, or from where it
    names itself. `ca_certificate` (PEM) is trusted besides the public ones, at the registry and at
    `package_index`, which is an address, empty for the public one.
    """

    repository: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca_certificate: str = ""
    runtime_repository: str = ""
    package_index: str = ""

    @property
    def host(self) -> str:
        return self.repository.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Everything about a cluster that changes what is rendered or how it is reached.

    `portal_id` tells the objects of two portals apart that share a cluster. An empty storage class
    is the cluster's default one. Without `database` each Deployment gets a PostgreSQL of its own on
    a volume of `database_size`; `former_databases` hold those of older Deployments. Without
    `object_store` task logs are on a shared claim of `logs_storage_class` (ReadWriteMany).
    `has_keda` False means a fixed number of workers; otherwise workers are removed
    `scale_down_seconds` after their last task. Runs that began more than `history_days` days ago
    are removed from the metadata database; with 0 none are. Logs that nothing has written to for
    `task_log_days`, of tasks on a shared claim, or `parse_log_hours`, of DAG files, are removed.
    `airflow_url` is the origin of the
    Airflow UIs: each lives below `/<ref>/`. Without a `registry` projects bring no packages.
    With `gives_user_ids` each namespace has users and groups of its own for pods, as in OpenShift,
    and refuses others. With `may_scale` the portal may let an account of a Deployment change the
    number of its pods, which hibernation without the portal needs. Below `image_mirror`,
    `host[:port]/path`, are copies of Docker Hub's images.
    """

    connection: Connection
    portal_id: str
    airflow_url: str
    has_keda: bool
    storage_class: str = ""
    logs_storage_class: str = ""
    logs_size: str = "5Gi"
    logs_access: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    database: DatabaseServer | None = None
    former_databases: tuple[DatabaseServer, ...] = ()
    object_store: ObjectStore | None = None
    image_pull_secret: str = field(default="", repr=False)
    scale_down_seconds: int = 300
    history_days: int = 365
    task_log_days: int = 30
    parse_log_hours: int = 24
    database_size: str = "5Gi"
    registry: Registry | None = None
    image_mirror: str = ""
    gives_user_ids: bool = False
    may_scale: bool = False

    def mirrored(self, image: str) -> str:
        """Return where nodes pull an image: one of Docker Hub at its path in the mirror, if there
        is one. An image that names another registry stays where it is.
        """
        host, slash, rest = image.partition("/")
        is_registry = bool(slash) and ("." in host or ":" in host or host == "localhost")
        if not self.image_mirror or (is_registry and host not in DOCKER_HUB):
            return image
        path = rest if is_registry else image
        return f"{self.image_mirror}/{path if '/' in path else f'library/{path}'}"

    def for_database_on(self, server: str | None) -> "ClusterConfig":
        """Return it with the server (`host:port`, empty for the Deployment's own namespace) that a
        Deployment's database is on; None is the current one. Raises Permanent for an unknown
        server.
        """
        if server is None or server == str(self.database or ""):
            return self
        known = {str(one): one for one in self.former_databases}
        if server and server not in known:
            raise Permanent(
                f"The metadata database is on {server}, which the cluster's settings no longer "
                "name. Enter it there again."
            )
        return replace(self, database=known.get(server))
