"""Which DAG ids the source files of an archive define, as far as they stand there literally.

Pure, and of the standard library only: `program` uses it. Sources are parsed and never run,
so ids that are put together at run time are not judged.
"""

import ast
import re
import time
from collections import Counter
from collections.abc import Iterator

# A tree takes some hundred times the memory of its source, and long to walk. The rest of the work
# on an upload needs most of what its process may spend.
MAX_FILE_BYTES = 256 * 1024
MAX_CPU_SECONDS = 8
# What Airflow accepts as an id; anything else is an import error there.
VALID_ID = re.compile(r"[\w.-]{1,250}")


class DagIds:
    """The files that define each id. Reads for a limited time and skips what is beyond."""

    def __init__(self) -> None:
        self.paths: dict[str, list[str]] = {}
        self.spent_seconds = 0.0

    def add(self, path: str, source: bytes) -> None:
        """Note the ids that a source file defines."""
        if len(source) > MAX_FILE_BYTES or self.spent_seconds > MAX_CPU_SECONDS:
            return
        if not _may_define(source):
            return
        started = time.process_time()
        for dag_id in sorted(ids_in(source)):
            self.paths.setdefault(dag_id, []).append(path)
        self.spent_seconds += time.process_time() - started

    def duplicates(self) -> dict[str, list[str]]:
        """Return the ids that more than one file defines, each with its files."""
        return {dag_id: paths for dag_id, paths in self.paths.items() if len(paths) > 1}


def ids_in(source: bytes) -> set[str]:
    """Return the ids of `DAG(…)` and `@dag` in a source file; none if it cannot be parsed."""
    try:
        tree = ast.parse(source)
        nodes = list(_reached_nodes(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return set()
    names, constants = _airflow_names(nodes), _constants(tree, nodes)
    # A decorated function makes its DAG only when it is called.
    called = {
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    found: set[str | None] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and _target(node.func, names) == "DAG":
            found.add(_given_id(node, constants))
        elif isinstance(node, ast.FunctionDef) and node.name in called:
            found.update(_decorated_ids(node, names, constants))
    return {dag_id for dag_id in found if dag_id and VALID_ID.fullmatch(dag_id)}


def _may_define(source: bytes) -> bool:
    # Airflow itself passes over files without these two words (it also takes "asset" for "dag").
    lower = source.lower()
    return b"dag" in lower and b"airflow" in lower


def _reached_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk a module without what runs only when a person starts the file as a program."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_main_guard(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _is_main_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
    )


def _airflow_names(nodes: list[ast.AST]) -> dict[str, str]:
    """Return what the names that a file imports from Airflow stand for, by name."""
    names = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and _is_airflow(node.module or ""):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if _is_airflow(alias.name):
                    names[alias.asname or "airflow"] = "airflow"
    return names


def _is_airflow(module: str) -> bool:
    return module.partition(".")[0] == "airflow"


def _target(node: ast.expr, names: dict[str, str]) -> str:
    """Return the name in Airflow of what an expression refers to, empty if it is not Airflow's."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if not isinstance(node, ast.Attribute):
        return ""
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        base = base.value
    return node.attr if isinstance(base, ast.Name) and base.id in names else ""


def _decorated_ids(
    node: ast.FunctionDef, names: dict[str, str], constants: dict[str, str]
) -> Iterator[str | None]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            if _target(decorator.func, names) == "dag":
                yield _given_id(decorator, constants, default=node.name)
        elif _target(decorator, names) == "dag":
            yield node.name


def _constants(tree: ast.Module, nodes: list[ast.AST]) -> dict[str, str]:
    """Return the texts that names of the module stand for, of names that are bound only once."""
    bound = Counter(
        node.id if isinstance(node, ast.Name) else node.arg
        for node in nodes
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and _is_bound(node))
    )
    found = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        value = statement.value
        if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and bound[target.id] == 1:
                found[target.id] = value.value
    return found


def _is_bound(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def _given_id(call: ast.Call, constants: dict[str, str], default: str | None = None) -> str | None:
    """Return the id that a call is given, None if it is neither a literal nor a constant."""
    if call.args:
        given: ast.expr | None = call.args[0]
    elif any(keyword.arg is None for keyword in call.keywords):
        return None
    else:
        given = next((word.value for word in call.keywords if word.arg == "dag_id"), None)
    if given is None:
        return default
    if isinstance(given, ast.Name):
        return constants.get(given.id)
    if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
        return None
    return given.value or default
