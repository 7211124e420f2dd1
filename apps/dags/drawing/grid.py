"""A grid of tasks by runs: a row for each task, or for a group that is not open. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.dags.airflow.structure import Counts, Structure
from apps.dags.drawing.order import above, groups_of, in_order

# What is in each group, in order; in "" what is in none.
Children = dict[str, dict[str, None]]
# Of several states, the one that is said: what needs a person, what goes on, what is done.
FIRST = (
    "failed",
    "upstream_failed",
    "up_for_retry",
    "restarting",
    "running",
    "queued",
    "scheduled",
    "deferred",
    "up_for_reschedule",
    "",
    "success",
    "skipped",
    "removed",
)


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """A task or a group, so many groups deep; `cells` are counts by run, None where there was
    none.
    """

    name: str
    label: str
    depth: int
    is_group: bool
    is_open: bool
    cells: tuple[Counts | None, ...]


def grid_rows(structure: Structure, *, opened: frozenset[str]) -> list[GridRow]:
    """Return the rows in the order of the tasks, those of a group together."""
    order = in_order(structure.tasks)
    groups = groups_of(order)
    children: Children = {}
    for name in order:
        path = [one for one in above(name) if one in groups]
        for parent, child in zip(["", *path], [*path, name], strict=True):
            children.setdefault(parent, {})[child] = None
    rows: list[GridRow] = []
    _add(rows, structure, children, "", 0, opened)
    return rows


def _add(
    rows: list[GridRow],
    structure: Structure,
    children: Children,
    parent: str,
    depth: int,
    opened: frozenset[str],
) -> None:
    for name in children.get(parent, ()):
        is_group, is_open = name in children, name in opened
        tasks = _tasks_of(name, children) if is_group else [name]
        row = GridRow(
            name=name,
            label=name.removeprefix(f"{parent}.") if parent else name,
            depth=depth,
            is_group=is_group,
            is_open=is_group and is_open,
            cells=_cells(structure, tasks),
        )
        rows.append(row)
        if row.is_open:
            _add(rows, structure, children, name, depth + 1, opened)


def _tasks_of(group: str, children: Children) -> list[str]:
    found: list[str] = []
    for name in children[group]:
        found += _tasks_of(name, children) if name in children else [name]
    return found


def _cells(structure: Structure, tasks: Sequence[str]) -> tuple[Counts | None, ...]:
    return tuple(
        summed(structure.cells.get((run.run_id, task)) for task in tasks) for run in structure.runs
    )


def summed(counts: Iterable[Counts | None]) -> Counts | None:
    """Return counts together, None where there are none."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one or {})
    return dict(total) or None


def state_in(counts: Counts) -> str:
    """Return the state that stands for several."""
    return next((state for state in FIRST if counts.get(state)), next(iter(counts), ""))
