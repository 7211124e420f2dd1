"""What the portal knows of one Kubernetes cluster: how to reach it, and what it offers."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Address and credential of a Kubernetes API. All PEM texts are inline; nothing names a file.

    Either `token`, or `client_certificate` with `client_key`. `tls_server_name` replaces the host
    of `server` in the check of its certificate. `networks` are the operator's further networks
    that `server` may lie in (see `addresses`); None leaves addresses unchecked.
    """

    server: str
    ca_certificate: str
    token: str = field(default="", repr=False)
    client_certificate: str = ""
    client_key: str = field(default="", repr=False)
    tls_server_name: str = ""
    networks: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DatabaseServer:
    """A PostgreSQL server that holds the metadata databases; the role may create roles and
    databases.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """Where task logs go instead of a shared claim: `s3://bucket/prefix` and its keys."""

    url: str
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Everything about a cluster that changes what is rendered or how it is reached.

    `portal_id` tells the objects of two portals apart that share a cluster. An empty storage class
    is the cluster's default one. Without `database` each Deployment gets a PostgreSQL of its own;
    without `object_store` task logs are on a shared claim of `logs_storage_class`
    (ReadWriteMany). `has_keda` False means a fixed number of workers; otherwise
    workers go `scale_down_seconds` after their last task. `airflow_url` is the origin
    of the Airflow UIs: each lives below `/<ref>/`.
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
    object_store: ObjectStore | None = None
    image_pull_secret: str = field(default="", repr=False)
    scale_down_seconds: int = 300
