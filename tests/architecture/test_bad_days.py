"""Tables of the documentation name tests; a name that leads nowhere proves nothing."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`([a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`")


def missing_in(text: str) -> list[str]:
    return [
        f"{path}::{name}"
        for path, name in NAMED.findall(text)
        if f"def {name}" not in (PROJECT / "tests" / path).read_text()
    ]


def test_every_test_that_the_table_of_bad_days_names_is_there() -> None:
    table = (PROJECT / "docs" / "bad-days.md").read_text()

    assert len(NAMED.findall(table)) >= table.count("\n| ") - 4
    assert missing_in(table) == []


def test_every_test_that_the_table_of_helm_charts_names_is_there() -> None:
    guide = (PROJECT / "docs" / "clusters.md").read_text()
    rows = [one for one in guide.partition("| In a chart |")[2].splitlines()[2:] if one]

    assert len(rows) >= 25
    assert [one for one in rows if not NAMED.search(one)] == []
    assert missing_in("\n".join(rows)) == []
