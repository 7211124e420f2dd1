"""What `airflow config lint` says of the configuration that this process has: options that the new
Airflow removed, renamed or refuses.
"""

import contextlib
import io
from typing import Any

ISSUE = "  - "


class NoArguments:
    """The command line without options, whichever the command knows."""

    def __getattr__(self, name: str) -> Any:
        return None


def lint() -> list[str]:
    """Return a line for each issue. Raises whatever the command raises."""
    from airflow.cli.commands.config_command import lint_config  # noqa: PLC0415 - takes a second

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        lint_config(NoArguments())
    return issues_of(output.getvalue())


def issues_of(output: str) -> list[str]:
    """Return the issues in what the command printed, each on one line: it wraps long ones."""
    issues: list[str] = []
    is_within = False
    for line in output.splitlines():
        if line.startswith(ISSUE):
            issues.append(line.removeprefix(ISSUE).strip())
        elif line.strip() and is_within:
            issues[-1] = f"{issues[-1]} {line.strip()}"
        is_within = bool(line.strip()) and bool(issues)
    return issues
