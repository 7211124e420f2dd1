from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.core.templatetags.ui import ago, clock, initials, moment, percent_of, ticks
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
    ("zone", "words"),
    [
        ("UTC", "22 Nov 2026, 14:08 UTC"),
        ("Europe/Oslo", "22 Nov 2026, 15:08 CET"),
        # A zone without an abbreviation of its own.
        ("America/Sao_Paulo", "22 Nov 2026, 11:08 UTC-03"),
    ],
)
def test_a_time_of_day_names_its_zone(zone: str, words: str) -> None:
    with timezone.override(zone):
        markup = moment(NOW)
        local = timezone.localtime(NOW)

    assert f">{words}</time>" in markup
    assert f'datetime="{local.isoformat()}" title="{local.isoformat()}"' in markup


def test_a_time_is_as_exact_as_asked() -> None:
    assert ">22 Nov 2026, 14:08:12 UTC</time>" in moment(NOW, "second")
    assert ">22 Nov 2026</time>" in moment(NOW, "day")
    assert 'title="2026-11-22T14:08:12+00:00">14:08:12 UTC</time>' in clock(NOW)
    assert moment(None) == ""


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
