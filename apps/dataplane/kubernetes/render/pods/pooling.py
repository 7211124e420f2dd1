"""What PgBouncer is told: whose connections it takes, and how it reaches the server."""

from apps.dataplane.kubernetes.render import sizes
from apps.dataplane.kubernetes.render.pods import database
from apps.dataplane.kubernetes.render.target import POOLER_PORT, Target

FOLDER = "/etc/pgbouncer"
SERVER_CA = "server-ca.pem"


def pooler_files(target: Target) -> dict[str, str]:
    """Return the files of PgBouncer by name: its settings, the role with its password, and the CA
    of the server where that is checked.
    """
    name = database.database_name(target.config, target.ref)
    # With the password in plain text it can sign in to the server, too. It is hexadecimal.
    files = {
        "pgbouncer.ini": _settings(target, name),
        "users.txt": f'"{name}" "{target.derived("database")}"\n',
    }
    server = target.config.database
    return files | {SERVER_CA: server.ca_certificate} if server and server.is_verified else files


def _settings(target: Target, name: str) -> str:
    host, port = database.address_of(target)
    settings = target.spec.settings
    clients, connections = sizes.pool_of(settings, target.spec.executor)
    server = target.config.database
    lines = [
        "[databases]",
        f"{name} = host={host} port={port} dbname={name}",
        "",
        "[pgbouncer]",
        "listen_addr = *",
        f"listen_port = {POOLER_PORT}",
        "unix_socket_dir =",
        "pool_mode = transaction",
        "auth_type = scram-sha-256",
        f"auth_file = {FOLDER}/users.txt",
        f"max_client_conn = {clients}",
        f"default_pool_size = {connections}",
        # psycopg and asyncpg say these at their start, and nothing depends on them.
        "ignore_startup_parameters = extra_float_digits",
        # A line for each connection is of no use to people.
        "log_connections = 0",
        "log_disconnections = 0",
        f"server_tls_sslmode = {server.sslmode if server else 'prefer'}",
    ]
    if server and server.is_verified:
        lines.append(f"server_tls_ca_file = {FOLDER}/{SERVER_CA}")
    return "\n".join(lines) + "\n"
