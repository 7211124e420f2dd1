"""How long a statement is waited for, on the client's side.

A server that hangs, with a stuck disk or a stopped machine, still confirms what it gets: no time
limit of the server's own and no keep-alive ends the wait. Where people wait for an answer, the
statement is given up, with its connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

WEB_SECONDS = 30.0
Answer = TypeVar("Answer")
_within: ContextVar[float | None] = ContextVar("_within", default=None)


class PatientConnection(psycopg.Connection[Any]):
    """A connection that waits `patience_seconds` for each statement, None for ever. A process sets
    it for all its threads.
    """

    patience_seconds: float | None = None

    def wait(self, gen: PQGen[Answer], *args: Any, **options: Any) -> Answer:
        """Wait for a statement. Raises OperationalError, and is closed, when it takes too long."""
        seconds = _within.get() or self.patience_seconds
        if seconds is not None:
            options.setdefault("timeout", seconds)
        try:
            return super().wait(gen, *args, **options)
        except psycopg.errors._WaitTimeout as error:
            # Its statement may go on: what comes back later would be taken for another's answer.
            self.pgconn.finish()
            raise psycopg.OperationalError("The database did not answer in time.") from error


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Wait for at most so long for each statement, in this thread."""
    token = _within.set(seconds)
    try:
        yield
    finally:
        _within.reset(token)
