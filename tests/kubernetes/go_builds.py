"""Build programs from Go modules that go.mod and go.sum pin, once, into the user's cache folder.

A program is finished or absent, never half there; two processes that want the same wait for each
other. What was compiled stays in Go's own cache, so that an interrupted build goes on where it was.
"""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OLDEST_GO = (1, 26)
LONGEST_SECONDS = 25 * 60


class BuildFailed(Exception):
    """With a sentence that says what did not work."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What `go build` makes of `package`, from the module pinned in the folder `module`."""

    name: str
    module: Path
    package: str
    ldflags: str = "-s -w"


def cache_folder(name: str, modules: Sequence[Path]) -> Path:
    """Return the folder of exactly what the lock files of these modules say."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}".encode())
    for module in modules:
        for lock in ("go.mod", "go.sum"):
            digest.update((module / lock).read_bytes())
    return base / "astro-portal-tests" / "kubernetes" / f"{name}-{digest.hexdigest()[:12]}"


def version_of(path: str, module: Path) -> str:
    """Return the version of a Go module that `module` requires, like `1.37.2`."""
    text = (module / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(path)} v(\S+)", text, re.MULTILINE)
    assert found, f"{path} is not in {module}/go.mod"
    return found[1]


def go_version() -> tuple[int, ...]:
    """Return the version of the Go that is installed, () for none."""
    if not shutil.which("go"):
        return ()
    told = subprocess.run(
        ["go", "env", "GOVERSION"], capture_output=True, text=True, env=environment(), check=False
    )
    found = re.search(r"go(\d+)\.(\d+)", told.stdout)
    return (int(found[1]), int(found[2])) if found else ()


def why_not() -> str:
    """Say why this machine cannot build, "" if it can."""
    if go_version() >= OLDEST_GO:
        return ""
    return f"Go {'.'.join(map(str, OLDEST_GO))} or newer is not installed"


def build(programs: Sequence[Program], folder: Path, deadline: float) -> None:
    """Make the programs that `folder` lacks; raise BuildFailed, at `deadline` (monotonic) at the
    latest.
    """
    with only_one(folder):
        absent = [program for program in programs if not (folder / program.name).is_file()]
        for number, program in enumerate(absent, start=1):
            label = f"{program.name} ({number} of {len(absent)})"
            say(f"Building {label}")
            started = time.monotonic()
            _compile(program, folder, label=label, deadline=deadline)
            say(f"Built {label} in {time.monotonic() - started:.0f} s")


def _compile(program: Program, folder: Path, *, label: str, deadline: float) -> None:
    unfinished = folder / f".{program.name}"
    go(
        "build",
        *("-trimpath", "-ldflags", program.ldflags, "-o", str(unfinished), program.package),
        module=program.module,
        label=label,
        deadline=deadline,
    )
    unfinished.replace(folder / program.name)


def go(*arguments: str, module: Path, label: str, deadline: float) -> str:
    """Run Go in a pinned module and return what it printed; say every minute that it works."""
    started = time.monotonic()
    process = subprocess.Popen(
        ["go", *arguments],
        cwd=module,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while True:
            try:
                rest = max(0.0, deadline - time.monotonic())
                printed, errors = process.communicate(timeout=min(60, rest))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline:
                    raise BuildFailed(f"{label} was not built in time.") from None
                say(f"  still building {label}, {time.monotonic() - started:.0f} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        lines = [line for line in errors.splitlines() if not line.startswith("go: downloading")]
        raise BuildFailed("\n".join([f"{label} could not be built:", *lines[-8:]]))
    return printed


def environment() -> dict[str, str]:
    """Return Go's: nothing but what is locked, by the Go that is installed."""
    fixed = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return {**os.environ, **fixed}


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let others that build the same wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process builds the same: waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()
