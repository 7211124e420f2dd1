"""What Airflow's connections to its database need besides a URL.

A server may go without a word, with its node or behind a firewall that forgets. Libpq then waits
for hours, in every process that has a connection in its pool, so it asks after a while whether the
server is still there, and gives up when nothing is confirmed for half a minute.

asyncpg takes a CA as an object alone, which no environment variable can hold. And it prepares
statements on a connection that PgBouncer, in transaction mode, gives to someone else afterwards: so
it keeps none, and neither does SQLAlchemy.
"""

import os
import ssl


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ["PORTAL_DATABASE_CA"])
    context.check_hostname = os.environ["PORTAL_DATABASE_SSLMODE"] == "verify-full"
    return context


# Of libpq: "Parameter Key Words" of PostgreSQL's documentation. Seconds, and milliseconds.
ARGUMENTS = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
ASYNC_ARGUMENTS = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    **({"ssl": _context()} if "PORTAL_DATABASE_CA" in os.environ else {}),
}
