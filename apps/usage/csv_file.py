"""Usage as a table for spreadsheets. Pure."""

import csv
import io
from collections.abc import Iterable

from apps.usage.queries import DeploymentUsage

HEAD = (
    "month",
    "workspace",
    "deployment",
    "id",
    "runs_succeeded",
    "runs_failed",
    "tasks_succeeded",
    "tasks_failed",
    "worker_hours",
    "cost",
)


def csv_of(found: Iterable[DeploymentUsage]) -> str:
    """Write a row for each month and Deployment. The cost is empty where there is no price."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for one in found:
        usage = one.usage
        writer.writerow(
            [
                f"{one.month:%Y-%m}",
                _cell(one.workspace),
                _cell(one.name),
                one.ref,
                usage.runs_succeeded,
                usage.runs_failed,
                usage.tasks_succeeded,
                usage.tasks_failed,
                usage.worker_hours,
                "" if usage.cost is None else usage.cost,
            ]
        )
    return text.getvalue()


def _cell(text: str) -> str:
    """Write a name that people chose so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
