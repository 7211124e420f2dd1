"""What PostgreSQL tells as it is committed: a Deployment changed, a session ended.

Triggers write to one channel (migration `0003_live_changes`), so whoever changes a row need not
know of streams. It takes one connection, and no viewer costs a query.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import connection

logger = logging.getLogger(__name__)

CHANNEL = "portal_live"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
# Of Django's own: the rest is how to connect.
NOT_FOR_LISTENING = frozenset({"context", "cursor_factory", "prepare_threshold"})


async def listen(tell: Callable[[str, str], None], *, missed: Callable[[], None]) -> None:
    """Call `tell` with kind and key of each change until cancelled, and `missed` each time the
    connection is there again after it was not: what was told meanwhile is lost.
    """
    pause, was_cut = FIRST_PAUSE_SECONDS, False
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**_parameters()) as listening:
                await listening.execute(f"LISTEN {CHANNEL}")
                if was_cut:
                    missed()
                pause = FIRST_PAUSE_SECONDS
                async for notice in listening.notifies():
                    kind, _, key = notice.payload.partition(":")
                    tell(kind, key)
        except (psycopg.Error, OSError) as error:
            logger.warning("the database tells no changes: %s", type(error).__name__)
        was_cut = True
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _parameters() -> dict[str, Any]:
    found = connection.get_connection_params()
    told = {name: value for name, value in found.items() if name not in NOT_FOR_LISTENING}
    # A connection that died without a word is noticed.
    return told | {"autocommit": True, "keepalives_idle": 30, "keepalives_interval": 10}
