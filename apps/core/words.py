"""Plain words for lengths of time and sizes, the same in pages, mails and logs."""

from datetime import datetime

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def duration_in_words(seconds: float) -> str:
    """Write a length of time with its two largest units: "12 s", "1 min 08 s", "3 h 05 min"."""
    if 0 < seconds < 1:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def time_ago_in_words(*, then: datetime, now: datetime) -> str:
    """Write how far away a moment is: "just now", "4 min ago", "in 2 h"."""
    return seconds_ago_in_words((now - then).total_seconds())


def seconds_ago_in_words(seconds: float) -> str:
    """Write the same of the seconds since then; of less than none, until then."""
    distance = abs(seconds)
    if distance < 10:
        return "just now"
    words = _largest_unit(distance)
    return f"{words} ago" if seconds > 0 else f"in {words}"


def _largest_unit(seconds: float) -> str:
    for size, unit in (
        (365 * DAY, "y"),
        (30 * DAY, "months"),
        (DAY, "d"),
        (HOUR, "h"),
        (MINUTE, "min"),
    ):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {'month' if unit == 'months' and count == 1 else unit}"
    return f"{int(seconds)} s"


def bytes_in_words(size: int) -> str:
    """Write a size with a binary unit: "512 B", "1.4 MiB", "11 GiB"."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    digits = 0 if unit == "B" or amount >= 10 else 1
    return f"{amount:.{digits}f} {unit}"


def moment_in_words(local: datetime, *, has_seconds: bool = False) -> str:
    """Write a moment of a time zone with that zone: "27 Nov 2026, 14:08 CET"."""
    clock = f"{local:%H:%M:%S}" if has_seconds else f"{local:%H:%M}"
    return f"{local.day} {local:%b %Y}, {clock} {zone_in_words(local)}"


def zone_in_words(local: datetime) -> str:
    """Abbreviate the time zone of a moment; zones without an abbreviation have their offset."""
    name = f"{local:%Z}"
    return f"UTC{name}" if name[:1] in ("+", "-") else name
