"""Find the variables and connections that Python files name. Nothing of the code is run.

Only what is written as a constant is found: `Variable.get("x")`, `conn_id="x"`,
`{{ var.value.x }}`, `os.environ["X"]` and their like. Files are hostile: `parse_dags` calls this in
a process with limits, and an answer has an end.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MOST_NAMES = 500
MOST_FILES = 5_000
MOST_FILE_BYTES = 1024**2
LONGEST_NAME = 250
VARIABLE, CONNECTION, ENVIRONMENT = "variable", "connection", "environment"

# Without braces inside, so that a hostile text takes no more time than a long one.
JINJA = re.compile(r"\{[{%]([^{}]{0,2000})[}%]\}")
IN_JINJA = (
    (VARIABLE, re.compile(r"\bvar\.(?:value|json)\.get\(\s*['\"]([^'\"]+)['\"]\s*([,)])")),
    (VARIABLE, re.compile(r"\bvar\.(?:value|json)\.(?!get\()([A-Za-z_]\w*)()")),
    (CONNECTION, re.compile(r"\bconn\.get\(\s*['\"]([^'\"]+)['\"]\s*([,)])")),
    (CONNECTION, re.compile(r"\bconn\.(?!get\()([A-Za-z_]\w*)()")),
)
# What a call of "owner.method" names with its first argument.
CALLS = {
    ("Variable", "get"): VARIABLE,
    ("Connection", "get"): CONNECTION,
    ("Connection", "get_connection_from_secrets"): CONNECTION,
    ("BaseHook", "get_connection"): CONNECTION,
    ("environ", "get"): ENVIRONMENT,
    ("os", "getenv"): ENVIRONMENT,
}

Named = tuple[str, str, int, bool]


def names_below(folder: Path) -> list[list[object]]:
    """Return [kind, name, file, line, whether the code has a default] of all Python files, each
    name once, where it is first. A name with a default in one place and none in another has none.
    """
    found: dict[tuple[str, str], list[object]] = {}
    for file in sorted(folder.rglob("*.py"))[:MOST_FILES]:
        for kind, name, line, has_default in names_in(file):
            row = found.get((kind, name))
            if row is None and len(found) < MOST_NAMES:
                place = str(file.relative_to(folder))
                found[kind, name] = [kind, name, place, line, has_default]
            elif row is not None:
                row[4] = row[4] and has_default
    return list(found.values())


def names_in(file: Path) -> list[Named]:
    """Return what one file names; nothing where it cannot be read: Airflow says so, too."""
    try:
        if file.is_symlink() or file.stat().st_size > MOST_FILE_BYTES:
            return []
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    named = [one for node in ast.walk(tree) for one in names_of(node)]
    return [one for one in named if 0 < len(one[1]) <= LONGEST_NAME]


def names_of(node: ast.AST) -> Iterator[Named]:
    if isinstance(node, ast.Call):
        yield from of_call(node)
    elif isinstance(node, ast.Subscript):
        yield from of_subscript(node)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            yield from of_setting(text_in(key), value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from of_template(node.value, node.lineno)


def of_call(node: ast.Call) -> Iterator[Named]:
    """`Variable.get("x")` and its like, and every argument called `conn_id` or `…_conn_id`."""
    function = node.func
    if isinstance(function, ast.Attribute):
        kind = CALLS.get((last_name(function.value), function.attr))
        name = text_in(node.args[0]) if node.args else ""
        if kind and name:
            has_default = len(node.args) > 1 or any(
                (one.arg or "").startswith("default") for one in node.keywords
            )
            yield kind, name, node.lineno, has_default
    for keyword in node.keywords:
        yield from of_setting(keyword.arg or "", keyword.value)


def of_subscript(node: ast.Subscript) -> Iterator[Named]:
    """`os.environ["X"]`, where it is read."""
    name = text_in(node.slice)
    if name and last_name(node.value) == "environ" and isinstance(node.ctx, ast.Load):
        yield ENVIRONMENT, name, node.lineno, False


def of_setting(label: str, value: ast.expr) -> Iterator[Named]:
    is_connection = label == "conn_id" or label.endswith("_conn_id")
    name = text_in(value)
    if is_connection and name and "{{" not in name:
        yield CONNECTION, name, value.lineno, False


def of_template(text: str, line: int) -> Iterator[Named]:
    if "{{" not in text and "{%" not in text:
        return
    for inside in JINJA.findall(text):
        for kind, pattern in IN_JINJA:
            for name, after in pattern.findall(inside):
                yield kind, name, line, after == ","


def text_in(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def last_name(node: ast.AST) -> str:
    """Return `Variable` of both `Variable` and `models.Variable`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
