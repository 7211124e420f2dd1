import pytest

from apps.dags.pages.run_bars import run_bars


def test_bars_stand_on_the_right_and_the_longest_is_the_highest() -> None:
    found = run_bars([["success", 1, 10], ["failed", 2, 40], ["running", 3, None]])

    assert found is not None
    assert [(area.tone, area.path, area.is_open) for area in found.areas] == [
        ("good", "M115 31V21", False),
        ("bad", "M125 31V8", False),
        ("move", "M132 17h6v14h-6z", True),
    ]
    assert found.crosses == "M122.3 2l5.4 4m0-4l-5.4 4"
    assert found.gaps.count("h0") == 11


def test_a_failure_that_was_the_longest_has_its_cross_inside_the_picture() -> None:
    found = run_bars([["failed", 1, 7]] * 14)

    assert found is not None
    assert [area.path.count("V8") for area in found.areas] == [14]
    assert found.crosses.count("M") == 14
    assert found.gaps == ""


@pytest.mark.parametrize(
    ("runs", "label"),
    [
        ([["success", 1, 0]], "Last run: all succeeded. Latest on the right."),
        ([["odd", 1, 5], ["queued", 2, None]], "Last 2 runs: 1 not finished, 1 other."),
    ],
)
def test_a_picture_has_its_words(runs: list[list[object]], label: str) -> None:
    found = run_bars(runs)

    assert found is not None
    assert found.label.startswith(label)


def test_no_runs_are_no_picture() -> None:
    assert run_bars([]) is None
