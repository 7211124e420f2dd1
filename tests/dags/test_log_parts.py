"""What reads parts of a log inside an Airflow, without one."""

import io
import random
from typing import Any

import pytest

from tests.dags.log_parts import part_of, plugin

EVERYTHING = (10**9, 10**9)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few bytes, so that every kind of seam is in a short text."""
    for name, value in {"BLOCK_BYTES": 7, "TAIL_BYTES": 5, "LONGEST_LINE": 40}.items():
        monkeypatch.setattr(plugin, name, value)


def some_log(chance: random.Random) -> bytes:
    pieces = [b"a", b"\n", b"\n\n", b"\xff\x00", "é".encode(), b"bc " * 5, b"z" * 50, b"\r\n"]
    return b"".join(chance.choices(pieces, k=chance.randrange(25)))


def ask(text: bytes, **asked: Any) -> dict[str, Any]:
    wanted = {"is_over": True, "begin": None, "end": None, "limits": EVERYTHING, **asked}
    return part_of(io.BytesIO(text), **wanted)


@pytest.mark.usefixtures("_small")
def test_parts_joined_in_either_direction_are_the_log() -> None:
    chance = random.Random(11)  # noqa: S311 - the same logs in every run
    for _ in range(150):
        text = some_log(chance)
        limits = (chance.randrange(1, 6), chance.randrange(1, 60))
        place, forth = 0, b""
        while place < len(text):
            found = ask(text, begin=place, limits=limits)
            assert (found["begin"], found["size"]) == (place, len(text))
            assert found["end"] > place
            assert found["text"] == text[place : found["end"]].decode("utf-8", "replace")
            forth += text[place : found["end"]]
            place = found["end"]
        assert forth == text
        place = len(text)
        while place > 0:
            found = ask(text, end=place, limits=limits)
            assert (found["end"], found["begin"] < place) == (place, True)
            assert found["text"] == text[found["begin"] : place].decode("utf-8", "replace")
            place = found["begin"]


@pytest.mark.usefixtures("_small")
def test_a_search_misses_no_line_that_holds_the_words() -> None:
    chance = random.Random(12)  # noqa: S311 - the same logs in every run
    for _ in range(100):
        text = some_log(chance)
        lines = [line for line in text.decode("utf-8", "replace").split("\n") if "bc bc" in line]
        short = [line for line in lines if len(line.encode()) < 35]

        found = ask(text, contains="BC  bc")["text"].split("\n")

        assert set(short) <= set(found)


def test_a_line_that_is_being_written_waits_until_it_is_whole_or_the_try_is_over() -> None:
    text = b'{"event": "one"}\n{"event": "tw'

    assert ask(text, is_over=False)["text"] == '{"event": "one"}\n'
    assert ask(text, is_over=False, begin=17)["text"] == ""
    assert ask(text)["text"] == text.decode()
    assert ask(b"tw", is_over=False) == {"text": "", "begin": 0, "end": 0, "size": 0}
    assert ask(b"", begin=5) == {"text": "", "begin": 0, "end": 0, "size": 0}


def test_levels_are_found_in_what_airflow_writes_and_not_in_what_a_task_prints() -> None:
    lines = [
        b'{"level":"error","event":"a"}',
        b'{"level": "warning","event":"b"}',
        b'{"level":"info","event":"\\"level\\":\\"error\\""}',
        b"level error",
    ]
    text = b"\n".join(lines)

    assert ask(text, level="error")["text"] == f"{lines[0].decode()}\n"
    assert ask(text, level="warning")["text"] == f"{lines[0].decode()}\n{lines[1].decode()}\n"


def test_a_search_ends_in_time_and_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "MOST_SEARCHED", 3 * 1024 * 1024)
    text = b"needle\n" + b"hay\n" * 2_000_000

    found = ask(text, contains="needle")

    assert (found["text"], found["end"]) == ("", len(text))
    assert 3 * 1024 * 1024 <= len(text) - found["begin"] < 5 * 1024 * 1024
    monkeypatch.setattr(plugin, "SEARCH_SECONDS", 0.0)
    assert ask(text, contains="needle")["begin"] < len(text), "it comes further all the same"


def test_no_answer_is_larger_than_a_portal_takes() -> None:
    text = (b"x" * 5_000_000 + b"\n") * 3 + b"y" * 9_000_000

    found = ask(text, end=15_000_003)
    assert len(found["text"]) <= plugin.MOST_SENT
    assert len(ask(text)["text"]) <= plugin.MOST_SENT
