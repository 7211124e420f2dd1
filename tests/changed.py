"""Which fast tests `make check` runs: those of what changed, and those that guard every page.

What changed is what differs from `origin/main` (or, without one, from the last commit), with files
that git does not know yet. What everything stands on asks for every fast test.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
GUARDS = ("tests/architecture",)
# Their own tests say little: what breaks is elsewhere.
WIDE = (
    "apps/access/",
    "apps/accounts/",
    "apps/core/",
    "astro_portal/",
    "manage.py",
    "pyproject.toml",
    "requirements",
    "templates/base.html",
    "templates/components/",
)
# Folders whose tests have another name.
TESTS_OF = {
    ".ci": "tests/core",
    "CHANGELOG.md": "tests/docs",
    "CONTRIBUTING.md": "tests/docs",
    "README.md": "tests/docs",
    "apps/airflow_access": "tests/observability",
    "apps/dataplane": "tests/dataplane tests/kubernetes tests/local",
    "bench": "tests/bench",
    "deploy": "tests/deploy_manifests",
    "docs": "tests/docs",
    "runtime": "tests/dataplane tests/runtimes",
    "static": "tests/core",
    "templates/account": "tests/accounts",
    "templates/airflow_access": "tests/observability",
}


def changed_files() -> list[str] | None:
    """The files of the project that changed, or None where git cannot tell."""
    base = _git("merge-base", "HEAD", "origin/main") or _git("rev-parse", "HEAD")
    if not base:
        return None
    differing = _git("diff", "--name-only", "--no-renames", base[0])
    new = _git("ls-files", "--others", "--exclude-standard")
    return None if differing is None or new is None else sorted({*differing, *new})


def paths_to_test(changed: Iterable[str]) -> list[str] | None:
    """The files and folders of tests for what changed, or None for all of them."""
    wanted = set(GUARDS)
    for name in changed:
        found = _paths_for(name)
        if found is None:
            return None
        wanted.update(found)
    return sorted(one for one in wanted if not _is_within(one, wanted))


def _paths_for(name: str) -> list[str] | None:
    if name.startswith(WIDE):
        return None
    first, _, rest = name.partition("/")
    if first == "tests":
        return _paths_for_a_test(Path(name))
    room = "/".join([first, *rest.split("/")[:1]]) if rest else first
    for place in (room, first):
        if place in TESTS_OF:
            return TESTS_OF[place].split()
    tests = f"tests/{rest.split('/')[0]}"
    return [tests] if rest and (PROJECT / tests).is_dir() else None


def _paths_for_a_test(path: Path) -> list[str] | None:
    if path.name.startswith("test_"):
        return [str(path)] if (PROJECT / path).exists() else []
    # What a folder's tests share concerns that folder; what lies above concerns all.
    return [str(path.parent)] if len(path.parts) > 2 else None


def _is_within(one: str, others: Iterable[str]) -> bool:
    return any(one.startswith(f"{other}/") for other in others)


def _git(*arguments: str) -> list[str] | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
