"""The table of bad days names tests; a name that leads nowhere proves nothing."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`([a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`")


def test_every_test_that_the_table_of_bad_days_names_is_there() -> None:
    table = (PROJECT / "docs" / "bad-days.md").read_text()
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(table)
        if f"def {name}" not in (PROJECT / "tests" / path).read_text()
    ]

    assert len(NAMED.findall(table)) >= table.count("\n| ") - 4
    assert missing == []
