"""A real PostgreSQL and a real Valkey for this run, in a folder of its own, ended with it.

Importing it starts them: settings read their addresses. Workers of pytest-xdist inherit the
environment and start nothing.
"""

import atexit
import os
from contextlib import ExitStack

from tests import migrated
from tests.embedded import ROLLED_BACK, running_services

STARTED = "ASTRO_PORTAL_TEST_SERVICES"
# Whether the test databases are copied from `migrated.TEMPLATE`.
IS_MIGRATED = "ASTRO_PORTAL_TEST_MIGRATED"

if STARTED not in os.environ:
    for _name in ("DATABASE_URL", "REDIS_URL", "PORTAL_PORT", "PORTAL_URL", "EMAIL_HOST"):
        os.environ.pop(_name, None)
    _stack = ExitStack()
    _home = _stack.enter_context(running_services(**ROLLED_BACK))
    os.environ["PORTAL_HOME"] = str(_home.path)
    os.environ[IS_MIGRATED] = "yes" if migrated.load(_home) else ""
    os.environ[STARTED] = str(os.getpid())

    def _stop() -> None:
        if os.environ[STARTED] == str(os.getpid()):
            _stack.close()

    atexit.register(_stop)
