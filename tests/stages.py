"""What `make check`, `make test` and `make ci` run, and what they say about it at the end.

    check   the fast tests of what changed; beside them what only reads: format, lint, types, docs
    test    the fast tests, the control plane of the others, then the slow tests
    ci      check, then what is slow, the tests on a real node among it. What failed is asked once
            more, alone

A test that fails and then passes is a fault all the same: `ci` names it in the last lines.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from tests.changed import changed_files, paths_to_test
from tests.reporting import REPORT

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
HEARTBEAT_SECONDS = 60
# More failures than this are no accident, and are not asked again.
MOST_ASKED_AGAIN = 20
MOST_FILES_NAMED, LONG_SECONDS = 12, 30
PYTEST = [sys.executable, "-m", "pytest"]


@dataclass(frozen=True)
class Step:
    """A command; of tests, `again` is the one that runs those named after it, alone."""

    name: str
    command: list[str]
    again: list[str] = field(default_factory=list)
    folder: Path = PROJECT


@dataclass
class Findings:
    seconds: dict[str, float] = field(default_factory=dict)
    # The share of all processors that was in use meanwhile, by whomever.
    busy: dict[str, float] = field(default_factory=dict)
    files: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def static_steps() -> list[Step]:
    templates = sorted(str(one) for top in ("templates", "apps") for one in _html(top))
    return [
        Step("format", [f"{BIN}/ruff", "format", "--check", "."]),
        Step("lint", [f"{BIN}/ruff", "check", "."]),
        Step("templates", [f"{BIN}/djade", "--check", "--target-version", "5.2", *templates]),
        # Not its daemon: Django's plugin would go on with the models that it saw at its start.
        Step("types", [f"{BIN}/mypy"]),
        Step("imports", [f"{BIN}/lint-imports", "--config", "import-contracts.toml"]),
        Step("dependencies", [f"{BIN}/deptry", "."]),
        Step("migrations", [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]),
        Step("docs", [f"{BIN}/mkdocs", "build", "--strict", "--quiet"]),
    ]


def _html(top: str) -> list[Path]:
    return [one.relative_to(PROJECT) for one in (PROJECT / top).rglob("*.html")]


def fast_tests(of: list[str] | None = None) -> Step:
    """The fast tests of some files and folders; of None, all."""
    more = shlex.split(os.environ.get("PYTEST_ARGS", ""))
    alone = [*PYTEST, "-p", "no:randomly", "-n", "0"]
    places = ["-m", "not slow", "-n", "auto", "--dist", "worksteal"]
    return Step("fast tests", [*PYTEST, *places, *(of or []), *more], alone)


def slow_tests(which: str) -> Step:
    # Three files beside each other, the longest first: tests of one file share an Airflow, and most
    # wait for it for half of their time. Those on a node are one file here (`tests/conftest.py`).
    places = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
    alone = [*PYTEST, "-m", which, "-p", "no:randomly", "-n", "0"]
    return Step("slow tests", [*PYTEST, "-m", which, *places], alone)


def control_plane() -> Step:
    return Step("control plane", [sys.executable, "-m", "tests.kubernetes.assets"])


def node_programs() -> Step:
    """The control plane, and all else that a node consists of where one can run."""
    return Step("programs of a node", [sys.executable, "-m", "tests.cluster", "build"])


def run_check(found: Findings) -> None:
    changed = changed_files()
    tests = None if changed is None else paths_to_test(changed)
    _say(f"Fast tests for what changed: {' '.join(tests or ['all'])}")
    _run_beside_static(fast_tests(tests), found, place="1/1")


def _run_beside_static(
    tests: Step, found: Findings, *, place: str, asks_again: bool = False
) -> None:
    """Run what only reads beside the tests: those leave a core free while they begin."""
    beside = threading.Thread(target=_run_static, args=(found,))
    beside.start()
    _run_tests(tests, found, place=place, asks_again=asks_again)
    beside.join()


def run_tests(found: Findings) -> None:
    _run_tests(fast_tests(), found, place="1/3")
    if not found.failed:
        _run_shown(control_plane(), found, place="2/3")
        _run_tests(slow_tests("slow"), found, place="3/3")


def run_ci(found: Findings) -> None:
    _run_beside_static(fast_tests(), found, place="1/3", asks_again=True)
    if not found.failed:
        _run_shown(node_programs(), found, place="2/3")
        _run_tests(slow_tests("slow or cluster"), found, place="3/3", asks_again=True)


def _run_static(found: Findings) -> None:
    for step in static_steps():
        begin = time.monotonic()
        done = subprocess.run(step.command, cwd=PROJECT, capture_output=True, text=True)
        found.seconds[step.name] = time.monotonic() - begin
        if done.returncode:
            found.failed.append(step.name)
            _say(f"{step.name} failed:\n{done.stdout}{done.stderr}")


def _run_shown(step: Step, found: Findings, *, place: str, report: Path | None = None) -> int:
    """Run a command that writes to the terminal; say every minute how long it has taken."""
    _say(f"[{place}] {step.name}")
    begin, idle = time.monotonic(), psutil.cpu_times().idle
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if report is not None:
        options = f"{os.environ.get('PYTEST_ADDOPTS', '')} -p tests.reporting"
        environment |= {REPORT: str(report), "PYTEST_ADDOPTS": options, "PYTHONPATH": str(PROJECT)}
    running = subprocess.Popen(step.command, cwd=step.folder, env=environment)
    while True:
        try:
            code = running.wait(HEARTBEAT_SECONDS)
            break
        except subprocess.TimeoutExpired:
            _say(f"[{place}] {step.name}: {_clock(time.monotonic() - begin)} so far")
        except KeyboardInterrupt:
            running.wait()
            raise
    found.seconds[step.name] = time.monotonic() - begin
    rest = (psutil.cpu_times().idle - idle) / (os.cpu_count() or 1)
    found.busy[step.name] = 1 - rest / found.seconds[step.name]
    if code and report is None:
        found.failed.append(step.name)
    return code


def _run_tests(step: Step, found: Findings, *, place: str, asks_again: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        code = _run_shown(step, found, place=place, report=file)
        first = _read(file)
        found.left_out.update(first["left_out"])
        found.files.update(first["seconds"])
        failed = first["failed"]
        if code and asks_again and 0 < len(failed) <= MOST_ASKED_AGAIN:
            file.unlink()
            again = replace(step, name=f"{step.name} that failed", command=[*step.again, *failed])
            code = _run_shown(again, found, place=place, report=file)
            passed = set(_read(file)["passed"])
            found.flaky += [name for name in failed if name in passed]
    if code:
        found.failed.append(step.name)


def _read(file: Path) -> dict[str, Any]:
    """Read what `tests.reporting` wrote: nothing where no test was reached."""
    nothing: dict[str, Any] = {"failed": [], "passed": [], "left_out": {}, "seconds": {}}
    return nothing | json.loads(file.read_text()) if file.exists() else nothing


def summary(found: Findings) -> str:
    lines = ["", "Took"]
    for name, seconds in found.seconds.items():
        busy = f", processors busy {found.busy[name]:.0%}" if name in found.busy else ""
        lines.append(f"  {_clock(seconds):>6}  {name}{busy}")
    long = [one for one in found.files.most_common(MOST_FILES_NAMED) if one[1] >= LONG_SECONDS]
    if long:
        lines += ["", "Longest files"]
        lines += [f"  {_clock(seconds):>6}  {name}" for name, seconds in long]
    if found.left_out:
        lines += ["", "Left out"]
        lines += [f"  {count:>6}  {reason}" for reason, count in found.left_out.most_common()]
    if found.flaky:
        lines += ["", "FLAKY: failed first and passed when asked again. Find out why."]
        lines += [f"  {name}" for name in found.flaky]
    lines += ["", f"FAILED: {', '.join(found.failed)}" if found.failed else "All passed."]
    return "\n".join(lines)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _say(text: str) -> None:
    print(text, flush=True)


def main(command: str) -> int:
    found, begin = Findings(), time.monotonic()
    {"check": run_check, "test": run_tests, "ci": run_ci}[command](found)
    found.seconds["all of it"] = time.monotonic() - begin
    _say(summary(found))
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
