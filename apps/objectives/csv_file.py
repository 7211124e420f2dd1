"""Objectives as a table for spreadsheets. Pure."""

import csv
import io
from collections.abc import Iterable

from apps.objectives.queries import Row

HEAD = (
    "workspace",
    "deployment",
    "id",
    "dag",
    "target_percent",
    "limit_seconds",
    "runs",
    "bad",
    "good_percent",
    "budget_left_percent",
    "burn_rate",
    "state",
)


def csv_of(rows: Iterable[Row]) -> str:
    """Write a row for each objective. What is not known without a run is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for row in rows:
        one, budget = row.objective, row.budget
        writer.writerow(
            [
                _cell(one.deployment.workspace.name),
                _cell(one.deployment.name),
                one.deployment.ref,
                _cell(one.dag_id),
                one.target_percent,
                one.limit_seconds or "",
                budget.runs,
                budget.bad,
                _number(budget.good_percent),
                "" if budget.left_percent is None else budget.left_percent,
                _number(budget.burn),
                budget.state,
            ]
        )
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _cell(text: str) -> str:
    """Write a name so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
