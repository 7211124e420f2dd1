"""How Airflow's asynchronous connections check the certificate of the database server.

asyncpg takes a CA as an object alone, which no environment variable can hold.
"""

import os
import ssl


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.environ["PORTAL_DATABASE_CA"])
    context.check_hostname = os.environ["PORTAL_DATABASE_SSLMODE"] == "verify-full"
    return context


ASYNC_ARGUMENTS = {"ssl": _context()} if "PORTAL_DATABASE_CA" in os.environ else {}
