"""From a cluster's row to the data plane behind it: the only factory."""

import os
from dataclasses import replace
from functools import cache
from threading import Lock

from django.conf import settings
from django.utils.module_loading import import_string

from apps.clusters.connections.own_identities import refuse_withdrawn
from apps.clusters.connections.sealed import former_password, opened, opened_connection
from apps.clusters.models import Cluster
from apps.core.encryption.crypto import SecretUnreadable
from apps.dataplane.base import DataPlane
from apps.dataplane.clouds.tokens import try_again
from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.config import (
    ClusterConfig,
    Connection,
    DatabaseServer,
    ObjectStore,
    Registry,
)

# One plane per cluster and process. A worker process serves some shards, the watcher some more.
MOST_PLANES = 500
_planes: dict[int, tuple[int, DataPlane]] = {}
_lock = Lock()


def plane_for(cluster: Cluster) -> DataPlane:
    """Return the data plane of a cluster. `settings.DATA_PLANES` maps a kind to a factory, which
    takes a ClusterConfig unless the plane is this machine.

    The plane is kept until the row's `connection_version` changes. Raises Permanent, with a
    message, when a secret of the cluster cannot be opened.
    """
    factory = settings.DATA_PLANES[cluster.kind]
    if not cluster.is_kubernetes:
        return _local_plane(factory)
    with _lock:
        kept = _planes.get(cluster.pk)
        if kept is not None and kept[0] >= cluster.connection_version:
            return kept[1]
    plane = plane_of(config_for(cluster))
    with _lock:
        _keep(cluster, plane)
    return plane


def plane_of(config: ClusterConfig) -> DataPlane:
    """Make a data plane that is not shared, to test a connection with."""
    plane: DataPlane = import_string(settings.DATA_PLANES[Cluster.Kind.KUBERNETES])(config)
    return plane


def config_for(cluster: Cluster, *, connection: Connection | None = None) -> ClusterConfig:
    """Return all that a Kubernetes plane must know of a cluster, with secrets in plaintext.

    `connection` replaces the stored one, to test it. Raises Permanent as `plane_for` does.
    """
    if cluster.removed_at is not None:
        raise Permanent(f"The cluster {cluster} is no longer registered.")
    try:
        connection = connection or opened_connection(cluster, networks=allowed_networks())
        refuse_withdrawn(connection.identity)
        return ClusterConfig(
            connection=_with_homes(cluster, connection),
            portal_id=cluster.portal_id,
            airflow_url=settings.AIRFLOW_URL,
            has_keda=cluster.has_keda,
            gives_user_ids=cluster.gives_user_ids,
            may_scale=cluster.may_scale,
            scale_down_seconds=settings.CLUSTER_SCALE_DOWN_SECONDS,
            task_log_days=settings.TASK_LOG_DAYS,
            parse_log_hours=settings.PARSE_LOG_HOURS,
            history_days=cluster.history_days,
            database_size=cluster.database_size,
            storage_class=cluster.storage_class,
            logs_storage_class=cluster.logs_storage_class,
            logs_size=cluster.logs_size,
            logs_access="ReadWriteOnce"
            if cluster.logs_access == Cluster.LogsAccess.ONCE
            else "ReadWriteMany",
            database=_database(cluster),
            former_databases=_former_databases(cluster),
            object_store=_object_store(cluster),
            image_pull_secret=opened(cluster, "image_pull_secret"),
            registry=_registry(cluster),
            image_mirror=cluster.image_mirror,
        )
    except SecretUnreadable as error:
        raise Permanent(f"A secret of the cluster {cluster} cannot be read. {error}") from error


def _with_homes(cluster: Cluster, connection: Connection) -> Connection:
    """Add which namespaces the portal may write in, and which Deployments took them."""
    if not cluster.namespaces:
        return connection
    return replace(connection, namespaces=cluster.named_namespaces, homes=cluster.homes())


def forget_failures(cluster: Cluster) -> None:
    """Ask a cloud for a token at once, whatever it answered before: a person tests the cluster.

    Raises Permanent as `plane_for` does.
    """
    if not cluster.cloud:
        return
    identity = config_for(cluster).connection.identity
    if identity is not None:
        try_again(identity)


def allowed_networks() -> tuple[str, ...]:
    """Return the operator's further networks that clusters may lie in."""
    networks: tuple[str, ...] = tuple(settings.CLUSTER_NETWORKS)
    return networks


def _database(cluster: Cluster) -> DatabaseServer | None:
    if not cluster.database_host:
        return None
    return DatabaseServer(
        host=cluster.database_host,
        port=cluster.database_port,
        user=cluster.database_user,
        password=opened(cluster, "database_password"),
        sslmode=cluster.database_sslmode,
        ca_certificate=cluster.database_ca,
    )


def _former_databases(cluster: Cluster) -> tuple[DatabaseServer, ...]:
    if cluster.pk is None:
        return ()
    return tuple(
        DatabaseServer(
            host=former.host,
            port=former.port,
            user=former.user,
            password=former_password(former),
            sslmode=former.sslmode,
            ca_certificate=former.ca,
        )
        for former in cluster.former_database_servers.select_related("cluster")
    )


def _object_store(cluster: Cluster) -> ObjectStore | None:
    if cluster.logs_in != Cluster.LogsIn.OBJECT_STORE:
        return None
    return ObjectStore(
        url=cluster.logs_url,
        endpoint=cluster.logs_endpoint,
        access_key=cluster.logs_access_key,
        secret_key=opened(cluster, "logs_secret_key"),
    )


def _registry(cluster: Cluster) -> Registry | None:
    if not cluster.registry_repository:
        return None
    return Registry(
        repository=cluster.registry_repository,
        user=cluster.registry_user,
        password=opened(cluster, "registry_password"),
        ca_certificate=cluster.registry_ca,
        runtime_repository=cluster.runtime_repository,
        package_index=cluster.package_index,
    )


@cache
def _local_plane(factory: str) -> DataPlane:
    plane: DataPlane = import_string(factory)()
    return plane


def _keep(cluster: Cluster, plane: DataPlane) -> None:
    """Cache a plane in place of an older one. Passes that use the older one finish with it."""
    _planes.pop(cluster.pk, None)
    while len(_planes) >= MOST_PLANES:
        _planes.pop(next(iter(_planes)))
    _planes[cluster.pk] = (cluster.connection_version, plane)


def _start_anew() -> None:
    """After a fork: drop the parent's sockets and threads, which a child must not use."""
    global _lock
    _lock = Lock()
    _planes.clear()


os.register_at_fork(after_in_child=_start_anew)
