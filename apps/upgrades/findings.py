"""What an upgrade would change, as findings for people. Pure, but for the files of this repository:
locks and lists of options.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.version import InvalidVersion, Version

from apps.dataplane.airflow_answers.table_sizes import TableSize
from apps.dataplane.project import ParsedProject
from apps.dataplane.project_checks.locks import versions
from apps.dataplane.project_checks.upgrade_rules import MOST_ROWS, RuleHit
from apps.dataplane.variables import OPTION_PREFIX, OPTIONS_FOLDER, option_variable
from apps.runtimes.catalogue import Runtime

MOST_LINES = 200
PROVIDER = "apache-airflow-providers-"
BACKED_UP = "A backup is made first, and kept for 90 days"
# What a migration needs for tables that are empty, and how quickly it writes others anew: cautious,
# since 96 MiB took 30 s on two busy cores, backup included, where this says 44 s
# (`python -m bench upgrade`).
SHORTEST_MIGRATION = 20.0
BYTES_A_SECOND = 4 * 1024**2
MOST_TABLES = 10
Finding = dict[str, Any]


def finding(tone: str, title: str, detail: str = "", lines: Iterable[str] = ()) -> Finding:
    return {
        "tone": tone,
        "title": title[:200],
        "detail": detail[:1000],
        "lines": [line[:500] for line in lines][:MOST_LINES],
    }


def of_refusals(refusals: Sequence[str]) -> list[Finding]:
    """Say why the configuration would be refused with the new runtime."""
    if not refusals:
        return []
    detail = "Change this under Configure, together with the runtime, in place of an upgrade here."
    return [finding("bad", "The configuration does not fit the new runtime", detail, refusals)]


def of_project(parsed: ParsedProject, target: str) -> Finding:
    """Say whether all DAG files can be read in the new runtime."""
    count = len(parsed.dags)
    certain = [one for one in parsed.errors if not one.needs_airflow]
    if certain:
        lines = [f"{one.file}, line {one.line}: {one.message}" for one in certain]
        return finding(
            "bad",
            f"{len(certain)} DAG file{_s(certain)} cannot be imported with {target}",
            f"{count} DAG{_s(parsed.dags)} can. Correct them first, or upgrade and correct later.",
            lines,
        )
    unsure = [f"{one.file}: {one.message}" for one in parsed.errors]
    if unsure:
        return finding(
            "warn",
            f"{len(unsure)} DAG file{_s(unsure)} ask Airflow for something while they are read",
            "Only a running Airflow can tell whether they can be imported.",
            unsure,
        )
    return finding("good", f"All {count} DAG{_s(parsed.dags)} can be imported with {target}")


def of_option_issues(issues: Sequence[str] | None) -> Finding:
    """Say what `airflow config lint` of the new Airflow says; None where it could not be run."""
    if issues is None:
        title = "The new Airflow could not check its configuration"
        detail = "airflow config lint ended without an answer. Check the options by hand."
        return finding("warn", title, detail)
    if issues:
        title = f"airflow config lint asks for {len(issues)} change{_s(issues)}"
        return finding(
            "warn", title, "What the new Airflow says of the options that are set:", issues
        )
    return finding("good", "airflow config lint of the new Airflow finds nothing to change")


def of_code(hits: Sequence[RuleHit]) -> list[Finding]:
    """Say what Ruff's rules for Airflow 3 found: what was removed, and apart what will be."""
    removed = [one for one in hits if one.is_removed]
    later = [one for one in hits if not one.is_removed]
    most = "at least " if len(hits) == MOST_ROWS else ""
    found = []
    if removed:
        title = f"The code uses what Airflow 3 removed, in {most}{len(removed)} place{_s(removed)}"
        detail = "Ruff's rules AIR301 to AIR303. A function fails only when a task calls it."
        found.append(finding("warn", title, detail, map(_of_hit, removed)))
    if later:
        title = (
            f"The code uses what a later Airflow removes, in {most}{len(later)} place{_s(later)}"
        )
        detail = "Ruff's rules AIR311 to AIR321. All of it still works."
        found.append(finding("move", title, detail, map(_of_hit, later)))
    return found or [finding("good", "Ruff's rules for Airflow 3 find nothing in the code")]


def _of_hit(hit: RuleHit) -> str:
    return f"{hit.file}, line {hit.line}: {hit.message} ({hit.rule})"


def of_packages(before: Runtime, after: Runtime) -> list[Finding]:
    """Say which packages change: providers apart, and those that go."""
    old, new = versions(before.lock_path.read_text()), versions(after.lock_path.read_text())
    changed = {
        name: (old[name], new[name]) for name in old if new.get(name, old[name]) != old[name]
    }
    gone = sorted(old.keys() - new.keys())
    providers = [name for name in changed if name.startswith(PROVIDER)]
    majors = [name for name in changed if _is_major(*changed[name])]
    found = [
        finding(
            "warn" if any(name in majors for name in providers) else "move",
            f"{len(providers)} provider package{_s(providers)} change",
            "Packages whose first number changes may break code: "
            + (", ".join(majors[:20]) or "none"),
            [f"{name} {changed[name][0]} → {changed[name][1]}" for name in sorted(changed)],
        )
    ]
    if gone:
        found.append(
            finding("warn", f"{len(gone)} package{_s(gone)} are not in the new runtime", "", gone)
        )
    return found


def of_options(keys: Iterable[str], before: Runtime, after: Runtime) -> list[Finding]:
    """Say which options of Airflow that the Deployment sets the new Airflow does not know."""
    mine = sorted(key for key in keys if key.upper().startswith(OPTION_PREFIX))
    old, new = _options(before), _options(after)
    if not mine:
        return [finding("good", "No option of Airflow is set by a variable")]
    if not new:
        title = "The options of the new Airflow are not listed"
        return [finding("warn", title, "Read its release notes for these:", mine)]
    gone = [key for key in mine if key.upper() in old and key.upper() not in new]
    if gone:
        title = f"{len(gone)} option{_s(gone)} that this Deployment sets no longer exist"
        return [finding("warn", title, "Airflow ignores them. Remove or rename them.", gone)]
    if len(mine) == 1:
        return [finding("good", "The option that is set still exists")]
    return [finding("good", f"All {len(mine)} options that are set still exist")]


def of_database(
    tables: Sequence[TableSize], size_bytes: int | None, seconds: float | None
) -> Finding:
    """Say how long the migration may take, and on what basis: the sizes of the tables, or of the
    last backup, and how long migrations took here.
    """
    title = "The metadata database is migrated, which cannot be undone"
    took = "" if seconds is None else f"Migrations on this cluster took {seconds:.0f} s of late. "
    if not tables:
        size = "" if size_bytes is None else f"The last backup has {_mib(size_bytes)}. "
        unknown = "Airflow does not tell how large its tables are, so there is no estimate."
        return finding("move", title, f"{size}{took}{unknown}")
    total = sum(one.size_bytes for one in tables)
    estimate = (SHORTEST_MIGRATION if seconds is None else seconds) + total / BYTES_A_SECOND
    detail = (
        f"That stops Airflow for up to {_duration(estimate)}: its tables have {_mib(total)}, and "
        f"the estimate is that all are written anew at {BYTES_A_SECOND / 1024**2:.0f} MiB/s. {took}"
        "A slow disk or server takes longer."
    )
    lines = [_of_table(one) for one in tables[:MOST_TABLES]]
    return finding("move", title, detail, lines)


def _of_table(table: TableSize) -> str:
    rows = "" if table.rows is None else f", about {table.rows:,} rows"
    return f"{table.name}: {_mib(table.size_bytes)}{rows}"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**2:,.1f} MiB"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def _options(runtime: Runtime) -> frozenset[str]:
    path = OPTIONS_FOLDER / f"airflow-{runtime.airflow_version}.json"
    if not path.is_file():
        return frozenset()
    sections: Mapping[str, list[str]] = json.loads(path.read_text())
    return frozenset(option_variable(s, option) for s, all_ in sections.items() for option in all_)


def _is_major(before: str, after: str) -> bool:
    try:
        return Version(before).major != Version(after).major
    except InvalidVersion:
        return True


def _s(things: Iterable[Any]) -> str:
    return "" if len(list(things)) == 1 else "s"
