"""Every error sentence that the code can say, found by reading it, and those that are explained.

    python -m tests.docs.sentences

lists what docs/troubleshoot.md lacks, as rows to paste, and what it explains although nothing says
it; with `--rename` it first follows sentences that were only reworded.

What a sentence takes from elsewhere is written “…”. A sentence is found where an error is made: in
the call itself, in a constant, in a variable of the same function, or in what a function of the
same module returns. One that consists of nothing but such parts is explained where those come from.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path

from tests.docs.documents import PROJECT

PAGE = PROJECT / "docs" / "troubleshoot.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
FOLDERS = ("apps", "astro_portal")
# Refusals of the program that reads archives become sentences of ArchiveRefused.
ROOTS = {"PortalError", "DataPlaneError", "Refusal", "ConfigurationError"}
# Not exceptions, but sentences for people: broken rules of a configuration.
ALSO = {"Problem"}
# Modules whose constants are sentences about a sign-in that failed.
CONSTANTS = "failures.py"
ELSEWHERE = "…"
DEPTH = 4

Scope = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    path: Path
    tree: ast.Module

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    def scopes_of(self, node: ast.AST) -> Iterator[Scope]:
        """Yield the functions around a node, from the innermost one, then the module."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, Scope):
                yield node

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        return {one.name: one for one in self.nodes if isinstance(one, ast.FunctionDef)}

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        return {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


def modules() -> list[Module]:
    paths = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    kept = [path for path in paths if not {"migrations", "fake"} & set(path.parts)]
    return [Module(path, ast.parse(path.read_text())) for path in sorted(kept)]


@cache
def said() -> dict[str, str]:
    """Map every sentence to the place that says it first."""
    return Reader(modules()).messages()


def explained() -> list[str]:
    """List the sentences of the page in its order."""
    return [message for message, *_ in ROW.findall(PAGE.read_text())]


class Reader:
    def __init__(self, found: list[Module]) -> None:
        self.modules = found
        self.by_name = {_dotted(module.path): module for module in found}
        self.errors = self._subclasses()

    def messages(self) -> dict[str, str]:
        places: dict[str, str] = {}
        for module in self.modules:
            for line, text in [*self._raised(module), *self._constants(module)]:
                message = " ".join(text.split())
                if re.search(r"[a-z]{2}.* .*[a-z]{2}", message):
                    place = f"{module.path.relative_to(PROJECT).as_posix()}:{line}"
                    places.setdefault(_tidy(message), place)
        return places

    def _subclasses(self) -> set[str]:
        bases = {
            node.name: {_last_name(base) for base in node.bases}
            for module in self.modules
            for node in module.nodes
            if isinstance(node, ast.ClassDef)
        }
        known = set(ROOTS)
        while more := {name for name, above in bases.items() if above & known} - known:
            known |= more
        return known

    def _raised(self, module: Module) -> Iterator[tuple[int, str]]:
        for node in module.nodes:
            if isinstance(node, ast.Call):
                for argument in self._sentence_arguments(module, node):
                    for text in self._texts(module, argument, DEPTH):
                        yield node.lineno, text

    def _sentence_arguments(self, module: Module, call: ast.Call) -> list[ast.expr]:
        name = _last_name(call.func)
        if name == "__init__" and self._is_in_error(module, call):
            return call.args[:1]
        if name in ALSO and module.path.parent.name != "core":
            named = [one.value for one in call.keywords if one.arg == "message"]
            return named or call.args[1:2]
        return call.args if name in self.errors else []

    def _is_in_error(self, module: Module, node: ast.AST) -> bool:
        while node in module.parents:
            node = module.parents[node]
            if isinstance(node, ast.ClassDef):
                return node.name in self.errors
        return False

    def _constants(self, module: Module) -> Iterator[tuple[int, str]]:
        if module.path.name != CONSTANTS:
            return
        for node in module.tree.body:
            value = getattr(node, "value", None)
            for part in ast.walk(value) if isinstance(value, ast.Tuple) else [value]:
                if isinstance(part, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                    for text in self._texts(module, part, DEPTH):
                        if text.rstrip("…").endswith("."):
                            yield node.lineno, text

    def _texts(self, module: Module, node: ast.expr, depth: int) -> list[str]:
        """Return what an expression can be, without repeating; ELSEWHERE where that is unknown."""
        if depth == 0:
            return [ELSEWHERE]
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=values):
                parts = [self._part(module, value, depth) for value in values]
                return _product(parts)
            case ast.BinOp(left=left, right=right, op=ast.Add()):
                return _product(
                    [self._texts(module, left, depth), self._texts(module, right, depth)]
                )
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._texts(module, body, depth), *self._texts(module, orelse, depth)]
            case ast.BoolOp(values=values):
                return [text for value in values for text in self._texts(module, value, depth)]
            case ast.Name(id=name):
                return self._named(module, node, name, depth) or [ELSEWHERE]
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                texts = self._texts(module, value, depth)
                return [re.sub(r"{\w*}", ELSEWHERE, text) for text in texts]
            case ast.Call(func=ast.Name(id=name)) if name in module.functions:
                returned = [
                    one.value
                    for one in ast.walk(module.functions[name])
                    if isinstance(one, ast.Return) and one.value
                ]
                return [text for one in returned for text in self._texts(module, one, depth - 1)]
        return [ELSEWHERE]

    def _part(self, module: Module, node: ast.expr, depth: int) -> list[str]:
        """A part of an f-string: constants of modules are read, everything else is “…”."""
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        if isinstance(inner, ast.Name) and inner.id.isupper():
            texts = self._texts(module, inner, depth)
            return texts if len(texts) == 1 else [ELSEWHERE]
        return [ELSEWHERE]

    def _named(self, module: Module, node: ast.AST, name: str, depth: int) -> list[str]:
        for scope in module.scopes_of(node):
            values = [
                one.value
                for one in ast.walk(scope)
                if isinstance(one, (ast.Assign, ast.AnnAssign))
                and one.value is not None
                and name in _targets(one)
                and (isinstance(scope, ast.Module) or next(module.scopes_of(one)) is scope)
            ]
            if isinstance(scope, ast.Module):
                values = [value for value in values if module.parents.get(value) in scope.body]
            if values:
                return [t for value in values for t in self._texts(module, value, depth - 1)]
        where, original = module.imports.get(name, ("", ""))
        other = self.by_name.get(where)
        if other is None or not other.tree.body:
            return []
        return self._named(other, other.tree.body[0], original, depth - 1)


def _product(parts: list[list[str]]) -> list[str]:
    texts = [""]
    for part in parts:
        texts = [text + more for text in texts for more in part]
    return texts


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {one.id for one in targets if isinstance(one, ast.Name)}


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _dotted(path: Path) -> str:
    return path.relative_to(PROJECT).with_suffix("").as_posix().replace("/", ".")


def _tidy(message: str) -> str:
    """Join parts from elsewhere that touch each other; a row of a table holds no | or `."""
    joined = re.sub(r"…(\s*…)+", "…", message)
    return joined.replace("|", "/").replace("`", "'")


def renamed(found: dict[str, str], rows: list[str]) -> dict[str, str]:
    """Map sentences that are no longer said to new ones that read nearly the same."""
    new = [one for one in found if one not in rows]
    pairs = {}
    for old in (one for one in rows if one not in found):
        if near := get_close_matches(old, new, n=1, cutoff=0.7):
            pairs[old] = near[0]
            new.remove(near[0])
    return pairs


def main() -> None:
    found, rows = said(), explained()
    pairs = renamed(found, rows)
    if "--rename" in sys.argv:
        text = PAGE.read_text()
        for old, new in pairs.items():
            text = text.replace(f"| `{old}` |", f"| `{new}` |")
        PAGE.write_text(text)
        rows = explained()
        pairs = {}
    for old, new in pairs.items():
        print(f"renamed: {old}\n     to: {new}")
    for message, place in found.items():
        if message not in rows and message not in pairs.values():
            print(f"| `{message}` | … | … |  <!-- {place} -->")
    for message in rows:
        if message not in found and message not in pairs:
            print(f"no longer said: {message}")


if __name__ == "__main__":
    main()
