"""Parts of a file of lines by their place in bytes. Without Airflow, so that tests are quick."""

import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

BLOCK_BYTES, TAIL_BYTES = 1024 * 1024, 64 * 1024
# A longer line is sent in pieces. One below that counts as a short one, so that the lines beside it
# are sent, too, but no answer has more bytes.
LONGEST_LINE = MOST_SENT = 8 * 1024 * 1024
LINE_COUNTED = 16 * 1024
# How much one answer searches.
MOST_SEARCHED, SEARCH_SECONDS = 256 * 1024 * 1024, 4.0
LEVELS = {
    "warning": re.compile(rb'"level": ?"(?:warning|error|critical|exception|fatal)"'),
    "error": re.compile(rb'"level": ?"(?:error|critical|exception|fatal)"'),
}
# The portal writes these words into the stack of an exception, where Airflow has none.
NOT_IN_THE_FILE = {"traceback", "most", "recent", "call", "last", "file", "line", "in"}

Place = tuple[int, bytes]
Wanted = Callable[[bytes, int], list[Place]]
# How many lines, and about how many bytes.
Limits = tuple[int, int]


class Found:
    """Lines that one answer has, one at least."""

    def __init__(self, limits: Limits) -> None:
        self.lines: list[bytes] = []
        self._most_lines, self._most_bytes = limits
        self._counted = self._sent = 0

    def takes(self, line: bytes) -> bool:
        self._counted += min(len(line), LINE_COUNTED)
        self._sent += len(line)
        is_full = len(self.lines) >= self._most_lines or self._counted > self._most_bytes
        if self.lines and (is_full or self._sent > MOST_SENT):
            return False
        self.lines.append(line)
        return True


def part_of(
    file: BinaryIO,
    *,
    is_over: bool,
    begin: int | None,
    end: int | None,
    limits: Limits,
    contains: str = "",
    level: str = "",
) -> dict[str, Any]:
    """Return the lines from `begin` on, or those before `end`, or the last ones: one at least, and
    no more than the limits allow. A line that is being written is left out until `is_over`.

    With `contains` or `level` only lines that may match, of what one answer searches; the portal
    looks again. `begin` and `end` of the answer are what it covers, `size` is of the whole.
    """
    size = _whole_lines(file, is_over)
    wanted = _wanted(contains, level)
    if begin is not None:
        found = _after(file, min(begin, size), size, wanted, limits)
    else:
        found = _before(file, min(size if end is None else end, size), wanted, limits)
    return {**found, "size": size}


def _whole_lines(file: BinaryIO, is_over: bool) -> int:
    """Return the size of a log; without the line that is being written."""
    size = begin = file.seek(0, os.SEEK_END)
    while not is_over and begin > 0 and size - begin < LONGEST_LINE:
        before = max(0, begin - TAIL_BYTES)
        newline = _read(file, before, begin).rfind(b"\n")
        if newline >= 0:
            return before + newline + 1
        begin = before
    return begin if begin == 0 else size


def _read(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)


def _before(file: BinaryIO, end: int, wanted: Wanted, limits: Limits) -> dict[str, Any]:
    """Return the last wanted lines before `end`."""
    found = Found(limits)
    begin, until = end, time.monotonic() + SEARCH_SECONDS
    while begin > 0 and _may_go_on(end - begin, until):
        start = _line_start(file, begin)
        for place, line in reversed(wanted(_read(file, start, begin), start)):
            if not found.takes(line):
                return _told(reversed(found.lines), begin, end)
            begin = place
        begin = start
    return _told(reversed(found.lines), begin, end)


def _after(file: BinaryIO, begin: int, size: int, wanted: Wanted, limits: Limits) -> dict[str, Any]:
    """Return the first wanted lines from `begin` on."""
    found = Found(limits)
    end, until = begin, time.monotonic() + SEARCH_SECONDS
    while end < size and _may_go_on(end - begin, until):
        block = _read(file, end, _line_end(file, end, size))
        for place, line in wanted(block, end):
            if not found.takes(line):
                return _told(found.lines, begin, place)
        end += len(block)
    return _told(found.lines, begin, end)


def _may_go_on(searched: int, until: float) -> bool:
    """Return whether to read another block. The first one always is, so that every answer comes
    further.
    """
    return searched == 0 or (searched < MOST_SEARCHED and time.monotonic() < until)


def _told(lines: Iterable[bytes], begin: int, end: int) -> dict[str, Any]:
    text = b"".join(lines).decode("utf-8", "replace")
    return {"text": text, "begin": begin, "end": end}


def _line_start(file: BinaryIO, end: int) -> int:
    """Return where to begin a block of whole lines that ends at `end`."""
    start = max(0, end - BLOCK_BYTES)
    while start > 0:
        newline = _read(file, start - 1, end - 1).find(b"\n")
        if newline >= 0:
            return start + newline
        if end - start >= LONGEST_LINE:
            return start
        start = max(0, start - BLOCK_BYTES)
    return start


def _line_end(file: BinaryIO, begin: int, size: int) -> int:
    """Return where to end a block of whole lines that begins at `begin`."""
    end = min(size, begin + BLOCK_BYTES)
    while end < size:
        newline = _read(file, begin, end).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        if end - begin >= LONGEST_LINE:
            return end
        end = min(size, end + BLOCK_BYTES)
    return end


def _wanted(contains: str, level: str) -> Wanted:
    """Return what picks the lines of a block, each with its place. It may pick too many."""
    words = set(re.findall(r"\w+", contains.lower())) - NOT_IN_THE_FILE
    pattern = LEVELS.get(level)
    is_all = not words and pattern is None

    def pick(block: bytes, place: int) -> list[Place]:
        if (words and not _has(block, words)) or (pattern and not pattern.search(block)):
            return []
        found = []
        for line in _lines(block):
            if (not words or _has(line, words)) and (not pattern or pattern.search(line)):
                found.append((place, line if is_all else line.rstrip(b"\n") + b"\n"))
            place += len(line)
        return found

    return pick


def _lines(block: bytes) -> list[bytes]:
    *whole, rest = block.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _has(text: bytes, words: set[str]) -> bool:
    lower = text.decode("utf-8", "replace").lower()
    return all(word in lower for word in words)
