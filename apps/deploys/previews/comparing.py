"""What a deploy would change: packages, DAGs, restarts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Change = Literal["added", "changed", "removed"]
_PREFIXES = {"variable": "AIRFLOW_VAR_", "connection": "AIRFLOW_CONN_", "environment": ""}
_KINDS = {
    "variable": "Airflow variable",
    "connection": "Connection",
    "environment": "Environment variable",
}
_OF_THE_SYSTEM = frozenset(
    {"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "PYTHONPATH", "SHELL", "TMPDIR", "USER"}
)
ID, FILE, SCHEDULE, TASKS, OWNERS, TAGS = range(6)


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """A package that differs. A version is "" where the package is not; the size is in bytes."""

    name: str
    change: Change
    before: str
    after: str
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class DagChange:
    """A DAG that differs. Texts are those of before and after, "" where the DAG is not.
    `running` is how many of its runs are not finished, None where that is not known or of no
    interest.
    """

    dag_id: str
    change: Change
    file: str
    schedule: tuple[str, str]
    tasks: tuple[int | None, int | None]
    owners: tuple[str, str]
    tags: tuple[str, str]
    running: int | None = None


@dataclass(frozen=True, kw_only=True)
class MissingName:
    """What the code names and the Deployment does not have. `variable` is the environment variable
    that would give it.
    """

    kind: str
    name: str
    file: str
    line: int
    has_default: bool
    variable: str


def package_changes(
    *, before: Sequence[Sequence[Any]], after: Sequence[Sequence[Any]]
) -> tuple[PackageChange, ...]:
    """Compare two lists of [name, version, size], by name."""
    old = {row[0]: row for row in before}
    new = {row[0]: row for row in after}
    changes = []
    for name in sorted(old.keys() | new.keys()):
        left, right = old.get(name), new.get(name)
        if left and right and left[1] == right[1]:
            continue
        size = (right or left or [None] * 3)[2]
        changes.append(
            PackageChange(
                name=name,
                change=_change(left, right),
                before=left[1] if left else "",
                after=right[1] if right else "",
                size_bytes=size,
            )
        )
    return tuple(changes)


def dag_changes(
    *,
    before: Sequence[Sequence[Any]],
    after: Sequence[Sequence[Any]],
    running: Mapping[str, int] | None = None,
    changed_files: frozenset[str] = frozenset(),
) -> tuple[DagChange, ...]:
    """Compare two lists of DAGs, as `Deploy.dags` has them, by id. A DAG whose file is among
    `changed_files` has changed even if none of its facts has.
    """
    old = {row[ID]: row for row in before}
    new = {row[ID]: row for row in after}
    changes = []
    for dag_id in sorted(old.keys() | new.keys()):
        left, right = old.get(dag_id), new.get(dag_id)
        is_touched = right is not None and right[FILE] in changed_files
        if left and right and list(left) == list(right) and not is_touched:
            continue
        is_gone = left is not None and right is None
        changes.append(
            DagChange(
                dag_id=dag_id,
                change=_change(left, right),
                file=(right or left or [""] * 6)[FILE],
                schedule=(_text(left, SCHEDULE), _text(right, SCHEDULE)),
                tasks=(left[TASKS] if left else None, right[TASKS] if right else None),
                owners=(_joined(left, OWNERS), _joined(right, OWNERS)),
                tags=(_joined(left, TAGS), _joined(right, TAGS)),
                running=(running or {}).get(dag_id, 0) if is_gone and running is not None else None,
            )
        )
    return tuple(changes)


def missing_names(
    names: Sequence[Sequence[Any]],
    *,
    given: Iterable[str],
    shared: Iterable[tuple[str, str]] = (),
) -> tuple[MissingName, ...]:
    """Return which of [kind, name, file, line, has_default] neither an environment variable nor one
    of `shared`, by kind and name, gives. What Airflow and the system set by themselves is never
    missing.
    """
    known, kept = set(given), set(shared)
    found = []
    for kind, name, file, line, has_default in names:
        variable = _PREFIXES[kind] + (name.upper() if _PREFIXES[kind] else name)
        if (
            (kind, name) in kept
            or variable in known
            or (kind == "environment" and _is_set_by_itself(name))
        ):
            continue
        found.append(
            MissingName(
                kind=_KINDS[kind],
                name=name,
                file=file,
                line=line,
                has_default=has_default,
                variable=variable,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.has_default, one.kind, one.name)))


def _is_set_by_itself(name: str) -> bool:
    return name in _OF_THE_SYSTEM or name.startswith(("AIRFLOW_", "LC_", "PORTAL_"))


def has_changed_below(
    folder: str, *, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether files below a folder differ between two lists of files."""
    return _below(folder, before) != _below(folder, after)


def _below(folder: str, files: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in files if file["path"].startswith(folder)}


def _change(left: object, right: object) -> Change:
    return "changed" if left and right else "added" if right else "removed"


def _text(row: Sequence[Any] | None, index: int) -> str:
    return str(row[index]) if row else ""


def _joined(row: Sequence[Any] | None, index: int) -> str:
    return ", ".join(row[index]) if row else ""
