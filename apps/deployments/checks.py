from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.deployments.secrets.keys import key_problems


def check_keys(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Run with the checks of the database (`check --database default`), once it is migrated:
    `migrate` itself runs them first, when columns may still be missing.
    """
    if "default" not in (databases or ()):
        return []
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return []
    return [Error(problem, id="deployments.E001") for problem in key_problems()]
