"""Every error sentence of the product is explained, findable by its words."""

import ast
import re

from apps.deployments import badge
from tests.docs.documents import PROJECT
from tests.docs.sentences import PAGE, Module, Reader, explained, renamed, said

HOW = "Run `python -m tests.docs.sentences`: it writes the rows to fill in."
EXAMPLE = """
REASON = "The door is locked."

class Locked(PortalError):
    def __init__(self):
        super().__init__(f"{REASON} Ask {who} for the key.")

def enter(name):
    text = f"Nobody called {name} lives here." if name else "Say who you are, please."
    raise Locked(text)
"""


def test_every_sentence_is_explained() -> None:
    rows = explained()

    assert [one for one in said() if one not in rows] == [], HOW


def test_no_sentence_is_explained_that_nothing_says() -> None:
    found = said()

    assert [one for one in explained() if one not in found] == [], HOW


def test_each_is_explained_once() -> None:
    rows = explained()

    assert len(rows) == len(set(rows)) > 250


def test_sentences_are_found_where_they_are_made() -> None:
    path = PROJECT / "apps" / "core" / "example.py"

    found = Reader([Module(path, ast.parse(EXAMPLE))]).messages()

    assert set(found) == {
        "The door is locked. Ask … for the key.",
        "Nobody called … lives here.",
        "Say who you are, please.",
    }


def test_a_sentence_that_was_reworded_is_followed() -> None:
    pairs = renamed({"Give the queue a new name.": "x:1"}, ["Give the queue a name.", "Something."])

    assert pairs == {"Give the queue a name.": "Give the queue a new name."}


def test_the_words_of_a_status_are_explained() -> None:
    source = ast.parse((PROJECT / f"{badge.__name__.replace('.', '/')}.py").read_text())
    words = {
        call.args[2].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "DisplayStatus"
        and isinstance(call.args[2], ast.Constant)
    }
    table = (PROJECT / "docs" / "observe.md").read_text().partition("## Components")[0]
    shown = set(
        re.findall(r"[A-Z][a-z ]+[a-z]", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.M)))
    )

    assert words == shown - {"Word"}


def test_the_page_has_no_row_without_words() -> None:
    assert "| … |" not in PAGE.read_text()
