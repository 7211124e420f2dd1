"""How rows of a queue are claimed: as many as were asked for, whatever PostgreSQL plans."""

import ast
from pathlib import Path

APPS = Path(__file__).parents[2] / "apps"


def _texts(path: Path) -> list[str]:
    """Return the texts of a module, an f-string as one."""
    tree = ast.parse(path.read_text())
    joined = [node.values for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for values in joined for part in values}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [
        *(str(one.value) for one in constants if id(one) not in parts),
        *("".join(str(getattr(part, "value", "")) for part in values) for values in joined),
    ]


def test_what_is_claimed_is_chosen_once_in_a_with_clause() -> None:
    """A subquery with SKIP LOCKED may run for each row of the other table, and claim one each time;
    PostgreSQL runs a WITH clause that locks rows once.
    """
    claims = [
        (str(path.relative_to(APPS)), text)
        for path in sorted(APPS.rglob("*.py"))
        for text in _texts(path)
        if "SKIP LOCKED" in text
    ]
    assert len(claims) >= 8
    assert [path for path, text in claims if not text.lstrip().startswith("WITH ")] == []
