import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as command
from bench import page, quiet, report
from bench.quiet import Noise
from bench.report import Line

LINE = Line(
    name="list-page", ours="2 ms", peer="a|b 1 ms", ratio=2, spread=(1.5, 2.5), goal="<= 5x"
)
MET = Line(name="queries", ours="4", goal="<= 4", is_met=True)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let the command measure nothing, on a machine as the test says it was, look by look."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "bench-results" / "latest.json")
    monkeypatch.setattr(page, "RESULTS", report.RESULTS)
    monkeypatch.setattr(page, "DATA", tmp_path / "benchmarks.json")
    monkeypatch.setattr(page, "PAGE", tmp_path / "benchmarks.md")

    def run(
        *arguments: str, looks: Sequence[list[Noise]], notes: Sequence[str] = ()
    ) -> tuple[int, dict]:
        seen = iter(looks)
        monkeypatch.setattr(command, "machine_noise", lambda **_: list(next(seen, [])))
        module = SimpleNamespace(run=lambda: ([LINE, MET], list(notes)))
        monkeypatch.setattr(command.importlib, "import_module", lambda name: module)
        monkeypatch.setattr(command.sys, "argv", ["bench", *arguments])
        code = command.main()
        return code, json.loads(report.RESULTS.read_text())["results"]

    return run


BUSY = Noise("other programs use 90% of the processors")


def test_a_quiet_run_is_reported(measured, capsys: pytest.CaptureFixture[str]) -> None:
    code, results = measured("memory", looks=[], notes=["42 objects"])

    assert code == 0
    assert "a|b 1 ms" in capsys.readouterr().out
    assert results["memory"]["lines"][0] | {"spread": None} == {
        "name": "list-page",
        "ours": "2 ms",
        "peer": "a|b 1 ms",
        "ratio": 2,
        "spread": None,
        "goal": "<= 5x",
        "is_met": None,
        "verdict": "",
    }
    assert results["memory"]["notes"] == ["42 objects"]


@pytest.mark.parametrize(
    ("looks", "notes"),
    [([[BUSY]], []), ([[], [BUSY]], []), ([[], [], [BUSY]], []), ([], [BUSY])],
    ids=["before all", "before", "after", "by its control"],
)
def test_a_noisy_run_is_refused_and_says_what_it_saw(
    measured, capsys: pytest.CaptureFixture[str], looks: list, notes: list
) -> None:
    code, results = measured("memory", looks=looks, notes=notes)

    said = capsys.readouterr().out
    assert code == 1
    assert "REFUSED" in said
    assert BUSY in said
    assert "2 ms" not in said
    assert results["memory"]["lines"] == []
    assert results["memory"]["noise"] == [BUSY]


def test_a_noisy_run_is_shown_to_who_insists_and_stays_out_of_the_page(
    measured, capsys: pytest.CaptureFixture[str]
) -> None:
    code, results = measured("memory", "--force", looks=[[BUSY]])
    page.write_page()

    said = capsys.readouterr().out
    assert code == 0
    assert "2 ms" in said
    assert f"noisy: {BUSY}" in said
    assert "2 ms" not in page.PAGE.read_text()
    assert "Not measured: the machine was not quiet." in page.PAGE.read_text()


def test_one_benchmark_leaves_the_results_of_the_others(measured) -> None:
    measured("memory", looks=[])

    _, results = measured("click-to-healthy", looks=[])

    assert list(results) == ["memory", "click-to-healthy"]


def test_the_page_holds_what_was_measured(measured) -> None:
    measured("memory", looks=[], notes=["42 objects"])

    page.write_page()

    text = page.PAGE.read_text()
    assert "## memory" in text
    assert r"| list-page | 2 ms | a\|b 1 ms | 2x (1.5 to 2.5) | <= 5x |  |" in text
    assert "| queries | 4 |  |  | <= 4 | met |" in text
    assert "* 42 objects" in text


def test_the_machine_stays_unnamed() -> None:
    facts = report.machine_facts()

    assert {"cores", "memory", "system", "Python", "django"} <= facts.keys()
    assert not any("/" in value for value in facts.values())


def test_what_counts_as_noise() -> None:
    assert quiet.busy_noise(0.05) is None
    assert "60%" in str(quiet.busy_noise(0.6))
    assert quiet.uneven_noise([0.010, 0.011] * 10) is None
    assert "100%" in str(quiet.uneven_noise([0.010, 0.020] * 10))
    assert quiet.control_noise([1.0, 1.2, 1.1]) == []
    assert "40%" in quiet.control_noise([0.8, 1.2, 1.0])[0]


def test_the_page_in_the_docs_is_the_one_that_its_data_make() -> None:
    assert page.PAGE.read_text() == page.page_of(json.loads(page.DATA.read_text()))
