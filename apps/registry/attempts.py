"""How often an address or a token asks, counted by the minute. Without a cache nothing is."""

from time import time as now

from django.core.cache import cache

MINUTE = 60


def count(key: str) -> int:
    """Count one more of this minute, and return how many that makes."""
    minute = int(now()) // MINUTE
    name = f"registry:{key}:{minute}"
    if cache.add(name, 1, 2 * MINUTE):
        return 1
    try:
        return int(cache.incr(name))
    except ValueError:  # it ended between the two
        return 1


def counted(key: str) -> int:
    """Return how many were counted in this minute."""
    return int(cache.get(f"registry:{key}:{int(now()) // MINUTE}") or 0)
