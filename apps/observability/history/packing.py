"""A day of a series as bytes: one 32-bit float per step, little endian, NaN for a gap. Pure.

Four bytes a point before compression by PostgreSQL; counts are exact up to 2**24.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan

from apps.observability.history.metrics import JOINERS, Joined

DAY_SECONDS = 86_400
GAP = nan
FLOAT_BYTES = 4


def empty(step: int) -> "array[float]":
    """Return a day in which nothing is known."""
    return array("f", [GAP]) * (DAY_SECONDS // step)


def packed(values: Iterable[float]) -> bytes:
    """Write values as bytes."""
    floats = array("f", values)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def unpacked(data: bytes | bytearray | memoryview) -> "array[float]":
    """Read values from bytes; a rest that is no whole value is left out."""
    floats = array("f")
    floats.frombytes(data[: len(data) // FLOAT_BYTES * FLOAT_BYTES])
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def day_of(data: bytes | memoryview, *, step: int) -> "array[float]":
    """Read a day; one of another length is a day in which nothing is known."""
    floats = unpacked(data)
    return floats if len(floats) == DAY_SECONDS // step else empty(step)


def joined(values: Sequence[float], *, size: int, how: Joined) -> "array[float]":
    """Join each `size` values into one; a gap only where all of them are gaps."""
    join, rest = JOINERS[how], len(values) % size
    parts = [*zip(*[iter(values)] * size, strict=False)]
    if rest:
        parts.append(tuple(values[-rest:]))
    found = array("f", map(join, parts))
    for place, value in enumerate(found):
        # A gap makes a sum one; the highest is one where the first value is.
        if isnan(value):
            found[place] = _without_gaps(parts[place], join)
    return found


def _without_gaps(part: Iterable[float], join: Callable[[Sequence[float]], float]) -> float:
    known = [value for value in part if not isnan(value)]
    return join(known) if known else GAP
