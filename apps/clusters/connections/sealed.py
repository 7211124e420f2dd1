"""Secrets of clusters at rest: sealed with the key ring, bound to their row and field."""

import json
from dataclasses import asdict
from typing import Any

from apps.clusters.models import Cluster, FormerDatabaseServer
from apps.core.encryption.keys import key_ring
from apps.dataplane.clouds.identities import KINDS, CloudIdentity
from apps.dataplane.kubernetes.config import Connection


def seal(cluster: Cluster, field: str, value: str) -> None:
    """Set a column to the sealed secret; an empty secret empties it. The row is not saved."""
    sealed = key_ring().seal(value=value, identity=cluster.identity(field)) if value else None
    setattr(cluster, field, sealed)


def opened(cluster: Cluster, field: str) -> str:
    """Return a secret in plaintext, empty if there is none; raises SecretUnreadable."""
    sealed = getattr(cluster, field)
    if sealed is None:
        return ""
    return key_ring().open(sealed=bytes(sealed), identity=cluster.identity(field))


def seal_credential(cluster: Cluster, connection: Connection) -> None:
    """Seal the credential into its column. The row is not saved."""
    secret: dict[str, Any] = {
        "token": connection.token,
        "client_certificate": connection.client_certificate,
        "client_key": connection.client_key,
    }
    if connection.identity is not None:
        cloud = connection.identity.facts["cloud"]
        secret["identity"] = {"cloud": cloud, **asdict(connection.identity)}
    seal(cluster, "credential", json.dumps(secret))


def opened_connection(cluster: Cluster, *, networks: tuple[str, ...]) -> Connection:
    """Return the connection to the cluster, credential in plaintext; raises SecretUnreadable."""
    secret = json.loads(opened(cluster, "credential"))
    identity = _identity(secret.pop("identity", None))
    return Connection(
        server=cluster.server,
        ca_certificate=cluster.ca_certificate,
        tls_server_name=cluster.tls_server_name,
        proxy=cluster.proxy_url,
        networks=networks,
        identity=identity,
        **secret,
    )


def _identity(stored: dict[str, Any] | None) -> CloudIdentity | None:
    if stored is None:
        return None
    return KINDS[stored.pop("cloud")](**stored)


def keep_database_server(cluster: Cluster) -> None:
    """Keep the present PostgreSQL server of a cluster, for the databases that are on it."""
    former = FormerDatabaseServer(
        cluster=cluster,
        host=cluster.database_host,
        port=cluster.database_port,
        user=cluster.database_user,
        sslmode=cluster.database_sslmode,
        ca=cluster.database_ca,
    )
    password = opened(cluster, "database_password")
    former.password = key_ring().seal(value=password, identity=former.identity)
    former.save(force_insert=True)


def former_password(former: FormerDatabaseServer) -> str:
    """Return the password of a former server in plaintext; raises SecretUnreadable."""
    return key_ring().open(sealed=bytes(former.password), identity=former.identity)
