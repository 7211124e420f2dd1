"""What the runner of the stages says of tests that fail, and of those that fail once."""

import sys
from pathlib import Path

import pytest

from tests.stages import PYTEST, Findings, Step, _run_tests, summary

pytestmark = pytest.mark.slow
TESTS = """
from pathlib import Path
import pytest

BEFORE = Path(__file__).with_name("before")

def test_flaky():
    if not BEFORE.exists():
        BEFORE.touch()
        raise AssertionError("the first time")

def test_sound():
    pass

def test_left_out():
    pytest.skip("no chromium")
"""
BROKEN = """
def test_broken():
    raise AssertionError("each time")
"""


def run(folder: Path, source: str, *, asks_again: bool = True) -> Findings:
    (folder / "test_here.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]")
    alone = [*PYTEST, "-q", "-p", "no:randomly", "-p", "no:django", "-p", "no:cacheprovider"]
    found = Findings()
    step = Step("tests", [*alone, "."], alone, folder)
    _run_tests(step, found, place="1/1", asks_again=asks_again)
    return found


def test_a_test_that_passes_when_it_is_asked_again_is_named(tmp_path: Path) -> None:
    found = run(tmp_path, TESTS)

    assert found.failed == []
    assert found.flaky == ["test_here.py::test_flaky"]
    assert "FLAKY" in summary(found)
    assert "  test_here.py::test_flaky" in summary(found)
    assert "1  no chromium" in summary(found)
    assert summary(found).endswith("All passed.")


def test_a_test_that_fails_twice_fails(tmp_path: Path) -> None:
    found = run(tmp_path, TESTS + BROKEN)

    assert found.failed == ["tests"]
    assert found.flaky == ["test_here.py::test_flaky"]
    assert summary(found).endswith("FAILED: tests")


def test_nothing_is_asked_again_where_that_is_not_wanted(tmp_path: Path) -> None:
    found = run(tmp_path, TESTS, asks_again=False)

    assert (found.failed, found.flaky) == (["tests"], [])


def test_a_run_that_never_reached_a_test_fails(tmp_path: Path) -> None:
    found = Findings()

    _run_tests(Step("tests", [sys.executable, "-c", "raise SystemExit(3)"]), found, place="1/1")

    assert found.failed == ["tests"]


def test_the_longest_files_and_busy_processors_are_named(tmp_path: Path) -> None:
    found = run(tmp_path, TESTS)

    assert found.files["test_here.py"] > 0
    assert 0 <= found.busy["tests"] <= 1
    assert "Longest files" not in summary(found)
    found.files["test_here.py"] += 75
    assert "    1:15  test_here.py" in summary(found)
    assert ", processors busy " in summary(found)
