"""Numbers that stand in addresses and hidden fields: whoever sends them may send anything."""

import pytest

from apps.core.web.own_addresses import number_in


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("7", 7), ("007", 7), ("1000000", 999_999), ("9" * 18, 999_999)],
)
def test_a_number_is_read_up_to_the_largest(text: str, number: int) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", " 1", "½", "٣", "²", "1e3", "9" * 19, "9" * 9000]
)
def test_anything_else_is_none(text: str) -> None:
    assert number_in(text) is None
