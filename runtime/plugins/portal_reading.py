"""Reads of this Airflow's metadata database for the portal, none of which lasts long."""

import contextlib
from collections.abc import Iterator
from typing import Any

from airflow.utils.session import create_session
from sqlalchemy import text

LONGEST_MILLISECONDS = 3000


@contextlib.contextmanager
def bounded_session(milliseconds: int = LONGEST_MILLISECONDS) -> Iterator[Any]:
    """Yield a session whose statements the database ends after this time, each of them."""
    with create_session() as session:
        session.execute(text(f"SET LOCAL statement_timeout = {int(milliseconds)}"))
        yield session
