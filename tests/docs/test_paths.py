"""No document names a path that is not there, nor a setting that the portal does not read."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.documents import PROJECT, documents, inline_code, name_of

PATH = re.compile(r"[\w.*<>-]+(/[\w.*<>-]+)*/?(::\w+)?")
TOP = {path.name for path in PROJECT.iterdir() if path.is_dir()} - {
    ".git",
    ".venv",
    "build",
    "test-results",
}
AT_TOP = re.compile(r"[A-Z_]{5,}\.md|(mkdocs|pyproject)\.\w+|requirements\S*\.lock|Makefile")
NAME = re.compile(r"_?[A-Za-z]+(_[A-Za-z]+)*")
OF_THE_EXAMPLE = {"contact", "PORTAL_CONTACT", "sh", "nav", "deptry"}
SETTING = re.compile(r"\| `([A-Z][A-Z_]+)`")
# A document may speak of files beside itself by shorter names.
BESIDE = ("", "tests/", "docs/", "runtime/")


def paths_in(path: Path) -> list[str]:
    """List what looks like a path from the top of the project."""
    words = (word for text in inline_code(path) for word in text.split())
    return [word for word in words if PATH.fullmatch(word) and looks_like_ours(word)]


def looks_like_ours(word: str) -> bool:
    return bool(AT_TOP.fullmatch(word)) or ("/" in word and word.partition("/")[0] in TOP)


def is_there(text: str) -> bool:
    path, _, test = text.partition("::")
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    hits = [hit for folder in BESIDE for hit in PROJECT.glob(folder + pattern)]
    return any(not test or f"def {test}(" in hit.read_text() for hit in hits)


@pytest.mark.parametrize("document", documents(), ids=name_of)
def test_every_path_that_a_document_names_is_there(document: Path) -> None:
    assert [text for text in paths_in(document) if not is_there(text)] == []


def test_the_recipes_name_what_is_in_the_code() -> None:
    folders = ("apps", "tests", "astro_portal")
    sources = [path for folder in folders for path in (PROJECT / folder).rglob("*.py")]
    code = set(re.findall(r"\w+", " ".join(path.read_text() for path in sources)))
    named = {text for text in inline_code(PROJECT / "CONTRIBUTING.md") if NAME.fullmatch(text)}

    assert len(named) > 30
    assert named - code - OF_THE_EXAMPLE == set()


def test_paths_are_found_and_missed() -> None:
    assert len(paths_in(PROJECT / "CONTRIBUTING.md")) > 20
    assert is_there("tests/docs/test_paths.py::test_paths_are_found_and_missed")
    assert not is_there("tests/docs/test_paths.py::test_nothing")
    assert not is_there("apps/deployments/nothing.py")


def test_the_table_of_settings_is_the_settings() -> None:
    """Except those of single data planes that settings.py checks, all are read there."""
    read = {
        node.args[0].value
        for name in ("settings", "launcher", "env")
        for node in ast.walk(ast.parse((PROJECT / f"astro_portal/{name}.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id.startswith("env_")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    page = (PROJECT / "docs" / "operating.md").read_text()
    table = page.partition("## Settings")[2].partition("\n## ")[0]

    assert read - set(SETTING.findall(table)) == set()
    assert {name for name in SETTING.findall(table) if not _is_read(name)} == set()


def _is_read(name: str) -> bool:
    sources = [*(PROJECT / "apps").rglob("*.py"), *(PROJECT / "astro_portal").glob("*.py")]
    return any(f'"{name}"' in source.read_text() for source in sources)
