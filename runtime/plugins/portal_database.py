"""What Airflow's asynchronous connections to a database server of the cluster need besides a URL.

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


ASYNC_ARGUMENTS = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    **({"ssl": _context()} if "PORTAL_DATABASE_CA" in os.environ else {}),
}
