"""What `runtime/checks/parse_dags.py` says, as values. It is the user's code speaking: bounded, and
stripped of what acts on a screen.
"""

from collections.abc import Iterable
from typing import Any

from apps.dataplane.project import (
    MOST_DAGS,
    MOST_ERRORS,
    MOST_NAMES,
    MOST_OPTION_ISSUES,
    CodeName,
    ParsedDag,
    ParsedProject,
    ParseError,
)
from apps.dataplane.spec import VariableSpec
from apps.dataplane.untrusted import block_of, number_of, text_of, texts_of
from apps.dataplane.variables import user_variables

FILE_SECONDS = 30
TOTAL_SECONDS = 180
KINDS = ("variable", "connection", "environment")
# Stands in for a secret: code that only looks whether it is there goes on.
PLACEHOLDER = "secret-of-the-deployment"


def plain_variables(variables: Iterable[VariableSpec]) -> dict[str, str]:
    """Return the variables of a Deployment without its secrets."""
    given = tuple(variables)
    secrets = {variable.key for variable in given if variable.is_secret}
    found = user_variables(given)
    return {key: PLACEHOLDER if key in secrets else value for key, value in found.items()}


def parsed_project(said: dict[str, Any], seconds: float) -> ParsedProject:
    """Return what was found; rows of another shape are left out."""
    dags = [_dag(row) for row in _lists(said.get("dags"), MOST_DAGS, 6)]
    errors = [_error(row) for row in _lists(said.get("errors"), MOST_ERRORS, 5)]
    return ParsedProject(
        dags=tuple(sorted((dag for dag in dags if dag.dag_id), key=lambda dag: dag.dag_id)),
        names=_names(said.get("names")),
        option_issues=_option_issues(said.get("options")),
        errors=tuple(errors),
        file_count=number_of(said.get("file_count")) or 0,
        seconds=seconds,
    )


def _lists(value: object, most: int, length: int) -> list[list[Any]]:
    rows = value if isinstance(value, list) else []
    return [row for row in rows[:most] if isinstance(row, list) and len(row) == length]


def _names(value: object) -> tuple[CodeName, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(_name(row) for row in _lists(value, MOST_NAMES, 5) if row[0] in KINDS)


def _option_issues(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(texts_of(value, most=MOST_OPTION_ISSUES, longest=400))


def _name(row: list[Any]) -> CodeName:
    return CodeName(
        kind=row[0],
        name=text_of(row[1], 250),
        file=text_of(row[2], 300),
        line=max(0, number_of(row[3]) or 0),
        has_default=row[4] is True,
    )


def _dag(row: list[Any]) -> ParsedDag:
    return ParsedDag(
        dag_id=text_of(row[0], 250),
        file=text_of(row[1], 300),
        schedule=text_of(row[2], 200),
        task_count=max(0, number_of(row[3]) or 0),
        owners=tuple(texts_of(row[4], most=10, longest=100)),
        tags=tuple(texts_of(row[5], most=20, longest=100)),
    )


def _error(row: list[Any]) -> ParseError:
    return ParseError(
        file=text_of(row[0], 300),
        line=max(0, number_of(row[1]) or 0),
        message=text_of(row[2], 300),
        traceback=block_of(row[3], 4_000),
        needs_airflow=row[4] is True,
    )
