"""The order of tasks, and the groups that they are in. Pure.

Airflow names a task of a group `group.task`; a group is what several tasks have before a dot.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping

Edges = Mapping[str, tuple[str, ...]]


def in_order(edges: Edges) -> list[str]:
    """Return names so that each stands after those that it waits for, by name where that leaves a
    choice. Where names wait for each other in a circle the first of them goes first.
    """
    waits = Counter(after for names in edges.values() for after in names)
    free = [name for name in edges if not waits[name]]
    heapq.heapify(free)
    rest, done = sorted(edges, reverse=True), dict[str, None]()
    while len(done) < len(edges):
        if free:
            name = heapq.heappop(free)
        else:
            while rest[-1] in done:
                rest.pop()
            name = rest.pop()
        if name in done:
            continue
        done[name] = None
        for after in edges[name]:
            waits[after] -= 1
            if not waits[after] and after not in done:
                heapq.heappush(free, after)
    return list(done)


def groups_of(names: Iterable[str]) -> set[str]:
    """Return the groups that have two tasks or more."""
    counts = Counter(group for name in names for group in above(name))
    return {group for group, count in counts.items() if count > 1}


def above(name: str) -> list[str]:
    """Return the groups that a name is in, if these are groups: the outermost first."""
    parts = name.split(".")
    return [".".join(parts[:place]) for place in range(1, len(parts)) if parts[place - 1]]


def shown_as(name: str, *, groups: set[str], opened: frozenset[str]) -> str:
    """Return what stands for a task: itself, or the outermost group that is not open."""
    return next((one for one in above(name) if one in groups and one not in opened), name)
