from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connection

from apps.deployments.models import SecretValue
from apps.deployments.secrets.keys import key_problems


def check_keys(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Run with the checks of the database (`check --database default`), once its tables exist."""
    if "default" not in (databases or ()):
        return []
    if SecretValue._meta.db_table not in connection.introspection.table_names():
        return []
    return [Error(problem, id="deployments.E001") for problem in key_problems()]
