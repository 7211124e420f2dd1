import pytest

from apps.dags.pages.run_bars import run_bars


def test_bars_stand_on_the_right_and_the_longest_is_the_highest() -> None:
    found = run_bars([["success", 1, 10], ["failed", 2, 40], ["running", 3, None]])

    assert found is not None
    assert [bar.x for bar in found.bars] == [111.5, 121.5, 131.5]
    assert len(found.gaps) == 11
    assert max(found.bars, key=lambda bar: bar.height).tone == "bad"
    assert [bool(bar.cross) for bar in found.bars] == [False, True, False]
    assert [bar.is_open for bar in found.bars] == [False, False, True]


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
