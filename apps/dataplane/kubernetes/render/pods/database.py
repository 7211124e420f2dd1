"""The metadata database: on the cluster's configured server, or a PostgreSQL in the namespace.

Either way Airflow's role owns one database and nothing else, and KEDA's role may count tasks. The
server's own password is in a namespace of the portal: a tenant who may read everything in the
Deployment's namespace learns nothing about the other databases.
"""

import hashlib
from urllib.parse import urlencode

from apps.dataplane.kubernetes.config import ClusterConfig, DatabaseServer
from apps.dataplane.kubernetes.render.places import DATABASE_CA
from apps.dataplane.kubernetes.render.target import (
    DATABASE_SERVICE,
    POOLER_PORT,
    POOLER_SERVICE,
    Target,
)

PORT = 5432
ADMIN = "postgres"


def database_name(config: ClusterConfig, ref: str) -> str:
    """Return the name of a Deployment's database and of the role that owns it.

    A server may serve several portals, so its names begin with a digest of the portal's id.
    """
    if config.database is None:
        return "airflow"
    portal = hashlib.sha256(config.portal_id.encode()).hexdigest()[:8]
    return f"airflow_{portal}_{ref.replace('-', '_')}"


def reader_name(config: ClusterConfig, ref: str) -> str:
    """Return the name of the role that may only count tasks."""
    return f"{database_name(config, ref)}_ro"


def database_url(target: Target, *, scheme: str) -> str:
    """Return the URL of the database for the role that owns it, with libpq's options."""
    name = database_name(target.config, target.ref)
    url = _url(target, scheme=scheme, role=name, password=target.derived("database"))
    server = target.config.database
    if server is None or server.sslmode == "prefer":
        return url
    options = {"sslmode": server.sslmode}
    if server.is_verified:
        options["sslrootcert"] = DATABASE_CA
    return f"{url}?{urlencode(options)}"


def pooled_url(target: Target, *, scheme: str) -> str:
    """Return the URL of the same database by PgBouncer, in the namespace: with no options, because
    it is PgBouncer that encrypts and checks the server.
    """
    name, password = database_name(target.config, target.ref), target.derived("database")
    host = f"{POOLER_SERVICE}.{target.namespace}.svc:{POOLER_PORT}"
    return f"{scheme}://{name}:{password}@{host}/{name}"


def async_database_url(target: Target) -> str:
    """Return the same URL for asyncpg, which knows none of libpq's options; Airflow would hand them
    on. An empty one where there are none to translate.

    A CA is no option of a URL: where one is to be checked, `portal_database.py` says it.
    """
    server = target.config.database
    if server is None or server.sslmode == "prefer":
        return ""
    name = database_name(target.config, target.ref)
    url = _url(target, scheme="postgresql+asyncpg", role=name, password=target.derived("database"))
    return url if server.is_verified else f"{url}?{urlencode({'ssl': server.sslmode})}"


def reader_url(target: Target) -> str:
    """Return the URL for the role that may only count tasks. KEDA connects from its own namespace,
    so the host is fully qualified.
    """
    options = {"connect_timeout": "5"}
    server = target.config.database
    if server is None:
        options["sslmode"] = "disable"
    elif server.sslmode != "prefer":
        # KEDA's own pod has no file of ours: it encrypts, and cannot check who answers.
        options["sslmode"] = "require" if server.is_verified else server.sslmode
    role = reader_name(target.config, target.ref)
    password = target.derived("database-reader")
    url = _url(target, scheme="postgresql", role=role, password=password)
    return f"{url}?{urlencode(options)}"


def preparation_values(target: Target) -> dict[str, str]:
    """Return the environment of psql with `prepare_database.sql`."""
    values = {
        "PORTAL_DATABASE": database_name(target.config, target.ref),
        "PORTAL_DATABASE_PASSWORD": target.derived("database"),
        "PORTAL_READER": reader_name(target.config, target.ref),
        "PORTAL_READER_PASSWORD": target.derived("database-reader"),
    }
    if target.config.database:
        return values | _sign_in(target.config.database)
    password = target.derived("database-admin")
    own = DatabaseServer(host=DATABASE_SERVICE, port=PORT, user=ADMIN, password=password)
    return values | _sign_in(own) | {"POSTGRES_PASSWORD": password}


def owner_values(target: Target) -> dict[str, str]:
    """Return the environment of PostgreSQL's programs for the role that owns the database."""
    name, (host, port) = database_name(target.config, target.ref), address_of(target)
    values = {
        "PGHOST": host,
        "PGPORT": str(port),
        "PGUSER": name,
        "PGPASSWORD": target.derived("database"),
        "PGDATABASE": name,
        "PGCONNECT_TIMEOUT": "10",
    }
    return values | (_encryption(target.config.database) if target.config.database else {})


def _url(target: Target, *, scheme: str, role: str, password: str) -> str:
    name = database_name(target.config, target.ref)
    return f"{scheme}://{role}:{password}@{_host(target)}/{name}"


def address_of(target: Target) -> tuple[str, int]:
    """Return host and port of the server that has the database."""
    server = target.config.database
    if server is None:
        return f"{DATABASE_SERVICE}.{target.namespace}.svc", PORT
    return server.host, server.port


def _host(target: Target) -> str:
    host, port = address_of(target)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sign_in(server: DatabaseServer) -> dict[str, str]:
    """Return psql's environment to sign in as the role that creates roles and databases."""
    return {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "PGDATABASE": "postgres",
        "PGCONNECT_TIMEOUT": "10",
        **_encryption(server),
    }


def _encryption(server: DatabaseServer) -> dict[str, str]:
    if server.sslmode == "prefer":
        return {}
    verified = {"PGSSLROOTCERT": DATABASE_CA} if server.is_verified else {}
    return {"PGSSLMODE": server.sslmode, **verified}
