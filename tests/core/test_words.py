from datetime import UTC, datetime, timedelta

import pytest

from apps.core.templatetags.ui import ago, initials, percent_of, ticks
from apps.core.words import bytes_in_words, duration_in_words, time_ago_in_words

NOW = datetime(2026, 11, 22, 14, 8, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.42, "0.4 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (68, "1 min 08 s"),
        (3_599.7, "1 h 00 min"),
        (11_100, "3 h 05 min"),
        (2 * 86_400 + 7_200, "2 d 2 h"),
        (-5, "0 s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (3, "just now"),
        (61, "1 min ago"),
        (90_000, "1 d ago"),
        (31 * 86_400, "1 month ago"),
        (-7_300, "in 2 h"),
    ],
)
def test_moments_are_told_from_now(before: int, words: str) -> None:
    assert time_ago_in_words(then=NOW - timedelta(seconds=before), now=NOW) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**31, "2.0 GiB"), (2**50, "1024 TiB")],
)
def test_sizes_have_binary_units(size: int, words: str) -> None:
    assert bytes_in_words(size) == words


def test_a_moment_carries_its_exact_time() -> None:
    markup = ago(NOW)

    assert 'datetime="2026-11-22T14:08:12+00:00"' in markup
    assert "Sun 22 Nov 2026, 14:08:12 UTC" in markup
    assert ago(None) == "never"


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ana Kovač", "AK"), ("ana.kovac@example.org", "AK"), ("root", "R"), ("", "")],
)
def test_initials_come_from_names_and_addresses(name: str, letters: str) -> None:
    assert initials(name) == letters


@pytest.mark.parametrize(
    ("part", "whole", "length"), [(1, 3, "33.33%"), (9, 3, "100%"), (1, 0, "0%"), (-1, 3, "0%")]
)
def test_lengths_stay_on_the_scale(part: int, whole: int, length: str) -> None:
    assert percent_of(part, whole) == length


def test_a_long_scale_has_few_ticks() -> None:
    assert len(ticks(4)) == 5
    assert len(ticks(1000)) <= 21
    assert ticks(0) == ["0%"]
