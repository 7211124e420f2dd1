"""JSON of others may be nested without end. Where a broken document is expected, so is that one:
Python reports it with another exception than all else that is wrong with a document.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

APPS = Path(__file__).parents[2] / "apps"
READERS = {"json", "jsonlib"}


def is_read(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    of = node.func.value
    is_loads = isinstance(of, ast.Name) and of.id in READERS and node.func.attr == "loads"
    return is_loads or (node.func.attr == "json" and not node.args)


def caught(handlers: list[ast.ExceptHandler]) -> set[str]:
    types = [one.type for one in handlers]
    return {
        name.id for each in types if each for name in ast.walk(each) if isinstance(name, ast.Name)
    }


def half_expected(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of `try` that expect JSON to be broken, but not to be nested without end."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        names = caught(node.handlers)
        reads = any(is_read(one) for line in node.body for one in ast.walk(line))
        if reads and "ValueError" in names and "RecursionError" not in names:
            yield node.lineno


def test_who_expects_broken_json_expects_json_without_end() -> None:
    found = [
        f"{path.relative_to(APPS.parent)}:{line}"
        for path in sorted(APPS.rglob("*.py"))
        for line in half_expected(ast.parse(path.read_text()))
    ]

    assert found == []


def test_the_check_finds_what_it_is_for() -> None:
    half = "try:\n    x = json.loads(y)\nexcept ValueError:\n    x = None\n"

    assert [*half_expected(ast.parse(half))] == [1]
    assert [
        *half_expected(ast.parse(half.replace("ValueError", "(ValueError, RecursionError)")))
    ] == []
