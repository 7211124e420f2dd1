"""Figures about the code: `python -m tests.house` prints them as a table.

A reviewer sees by them whether rooms fill up, functions grow and lines get dense. What has a limit
is held to it by `tests/architecture/test_house.py` and by the tests of templates.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parents[1]
CODE = ("apps", "astro_portal")
MOST_MODULES = 12
MOST_CHARACTERS = 160


def modules() -> list[Path]:
    """Return the product's modules without migrations, below the project."""
    found = (path for folder in CODE for path in (PROJECT / folder).rglob("*.py"))
    return sorted(path.relative_to(PROJECT) for path in found if "migrations" not in path.parts)


def modules_of_packages() -> dict[str, int]:
    """Count the modules that lie in each package itself, without its `__init__`."""
    counts: dict[str, int] = {}
    for path in modules():
        name = ".".join(path.parent.parts)
        counts[name] = counts.get(name, 0) + (path.stem != "__init__")
    return counts


def functions() -> Iterator[tuple[int, str]]:
    """Yield the lines and the name of each function."""
    for path in modules():
        for node in ast.walk(ast.parse((PROJECT / path).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or 0) - node.lineno + 1, f"{path}: {node.name}"


def long_template_lines() -> int:
    texts = (path.read_text() for path in (PROJECT / "templates").rglob("*.html"))
    return sum(len(line) > MOST_CHARACTERS for text in texts for line in text.splitlines())


def lines_with_any() -> int:
    texts = ((PROJECT / path).read_text() for path in modules())
    return sum(bool(re.search(r"\bAny\b", line)) for text in texts for line in text.splitlines())


def layered_packages() -> set[str]:
    """Return the packages whose modules all have a place in a contract about layers."""
    contracts = tomllib.loads((PROJECT / "import-contracts.toml").read_text())["tool"][
        "importlinter"
    ]["contracts"]
    return {
        package
        for contract in contracts
        if contract["type"] == "layers" and contract.get("exhaustive")
        for package in contract["containers"]
    }


def n_contracts() -> int:
    return (PROJECT / "import-contracts.toml").read_text().count("[[tool.importlinter.contracts]]")


def table() -> str:
    packages, layered = modules_of_packages(), layered_packages()
    sizes = sorted(functions(), reverse=True)
    fullest = max(packages, key=lambda name: packages[name])
    covered = sum(count for name, count in packages.items() if name in layered)
    rows = {
        "modules": f"{sum(packages.values())} in {len(packages)} packages",
        "modules of a package": f"{median(packages.values()):g} in the median, "
        f"{packages[fullest]} in {fullest}",
        "lines of a function": f"{median(size for size, _ in sizes):g} in the median, "
        f"{sizes[0][0]} in {sizes[0][1]}",
        f"template lines over {MOST_CHARACTERS}": f"{long_template_lines()}",
        "lines that say Any": f"{lines_with_any()}",
        "contracts": f"{n_contracts()}, with a place for {covered} modules",
    }
    return "\n".join(["| What | Now |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows.items())])


if __name__ == "__main__":
    print(table())
