"""Where the nodes and lines of a graph are drawn: layers from left to right. Pure.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical
system structures" (1981): layers by the longest path, a stand-in for a line in each layer that it
crosses, and some sweeps that put each node near the middle of its neighbors.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from apps.dags.drawing.order import Edges, in_order

WIDTH, HEIGHT = 190, 48
ACROSS, DOWN, MARGIN = 60, 16, 8
SWEEPS = 4
# Of lines that cross many layers; beyond it they go straight.
MOST_STAND_INS = 3_000

Node = str | tuple[str, str, int]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A node with its upper left corner."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Boxes, and lines as paths of SVG."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    width: float
    height: float


def drawing_of(edges: Edges) -> Drawing:
    """Return where to draw nodes and lines. A line of a circle that leads back is left out."""
    order = in_order(edges)
    place = {name: at for at, name in enumerate(order)}
    forward = [(name, to) for name in order for to in edges[name] if place[name] < place[to]]
    layers = _layers(order, forward)
    chains = _chains(forward, layers)
    columns = _columns(order, layers, chains)
    middles = _sorted(columns, chains)
    boxes = [
        Box(name=node, x=MARGIN + at * (WIDTH + ACROSS), y=middles[node] - HEIGHT / 2)
        for at, column in enumerate(columns)
        for node in column
        if isinstance(node, str)
    ]
    return Drawing(
        boxes=tuple(boxes),
        lines=tuple(_path(chain, layers, middles) for chain in chains),
        width=2 * MARGIN + len(columns) * (WIDTH + ACROSS) - ACROSS,
        height=max(middles.values(), default=0.0) + HEIGHT / 2 + MARGIN,
    )


def _layers(order: Sequence[str], forward: Sequence[tuple[str, str]]) -> dict[str, int]:
    layers = dict.fromkeys(order, 0)
    for name, to in forward:
        layers[to] = max(layers[to], layers[name] + 1)
    return layers


def _chains(forward: Sequence[tuple[str, str]], layers: dict[str, int]) -> list[list[Node]]:
    """Return each line as the nodes that it goes through."""
    room, chains = MOST_STAND_INS, []
    for name, to in forward:
        between: list[Node] = [(name, to, at) for at in range(layers[name] + 1, layers[to])]
        if len(between) > room:
            between = []
        room -= len(between)
        chains.append([name, *between, to])
    return chains


def _layer(node: Node, layers: dict[str, int]) -> int:
    return layers[node] if isinstance(node, str) else node[2]


def _columns(
    order: Sequence[str], layers: dict[str, int], chains: Sequence[Sequence[Node]]
) -> list[list[Node]]:
    columns: list[list[Node]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name in order:
        columns[layers[name]].append(name)
    for chain in chains:
        for node in chain[1:-1]:
            columns[_layer(node, layers)].append(node)
    return columns


def _sorted(columns: list[list[Node]], chains: Sequence[Sequence[Node]]) -> dict[Node, float]:
    """Sort the columns so that few lines cross, and return the middle of each node."""
    before, after = defaultdict[Node, list[Node]](list), defaultdict[Node, list[Node]](list)
    for chain in chains:
        for one, other in zip(chain, chain[1:], strict=False):
            after[one].append(other)
            before[other].append(one)
    middles = _middles(columns)
    for sweep in range(SWEEPS):
        beside = after if sweep % 2 else before
        for column in reversed(columns) if sweep % 2 else columns:
            wanted = {node: _mean(beside[node], middles, middles[node]) for node in column}
            column.sort(key=lambda node: wanted[node])
            middles |= _middles_of(column)
    return _centered(columns)


def _mean(nodes: Sequence[Node], middles: dict[Node, float], default: float) -> float:
    return fmean(middles[one] for one in nodes) if nodes else default


def _middles(columns: Sequence[Sequence[Node]]) -> dict[Node, float]:
    found: dict[Node, float] = {}
    for column in columns:
        found |= _middles_of(column)
    return found


def _middles_of(column: Sequence[Node]) -> dict[Node, float]:
    """Return middles from the top on; a line needs less room than a node."""
    found, top = {}, float(MARGIN)
    for node in column:
        height = HEIGHT if isinstance(node, str) else DOWN
        found[node] = top + height / 2
        top += height + DOWN
    return found


def _centered(columns: Sequence[Sequence[Node]]) -> dict[Node, float]:
    """Return middles with every column in the middle of the highest one."""
    single = [_middles_of(column) for column in columns]
    ends = [max(one.values(), default=0.0) for one in single]
    most = max(ends, default=0.0)
    found: dict[Node, float] = {}
    for middles, end in zip(single, ends, strict=True):
        found |= {node: middle + (most - end) / 2 for node, middle in middles.items()}
    return found


def _path(chain: Sequence[Node], layers: dict[str, int], middles: dict[Node, float]) -> str:
    """Return a line from the right side of its first node to the left side of its last one."""
    pieces: list[str] = []
    for one, other in zip(chain, chain[1:], strict=False):
        x1 = _left(one, layers) + WIDTH
        x2, y1, y2 = _left(other, layers), middles[one], middles[other]
        if not pieces:
            pieces.append(f"M{x1:g} {y1:g}")
        bend = (x2 - x1) / 2
        pieces.append(f"C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}")
        if not isinstance(other, str):
            pieces.append(f"h{WIDTH:g}")
    return "".join(pieces)


def _left(node: Node, layers: dict[str, int]) -> float:
    return MARGIN + _layer(node, layers) * (WIDTH + ACROSS)
