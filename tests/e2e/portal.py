"""A whole portal of its own, as `make run` starts it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.dataplane.local.home import Home
from tests.embedded import temporary_home

PROJECT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-m", "astro_portal.launcher"]
START_SECONDS = 180
PASSED_ON = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class Portal:
    """A portal that runs. `sign_in_link` is the one that its start printed."""

    home: Home
    url: str
    sign_in_link: str
    start_seconds: float


@contextmanager
def running_portal(**settings: str) -> Iterator[Portal]:
    """Start a portal in an empty home, and stop it with everything it began."""
    with temporary_home() as home:
        environment = _environment(home) | settings
        process = subprocess.Popen(
            [*LAUNCHER, "run"],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield _read_start(process, home)
        finally:
            process.terminate()
            process.communicate(timeout=60)
            environment["PORTAL_STOP_SECONDS"] = "5"
            subprocess.run([*LAUNCHER, "stop"], cwd=PROJECT, env=environment, timeout=120)


def _read_start(process: "subprocess.Popen[str]", home: Home) -> Portal:
    began, url, said = time.monotonic(), "", []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if ready := re.search(r"is ready: (\S+)", line):
            url = ready.group(1)
        if url and line.startswith(f"{url}/setup/"):
            return Portal(home, url, line.strip(), time.monotonic() - began)
        if time.monotonic() - began > START_SECONDS:
            break
    raise AssertionError("The portal did not start.\n" + "".join(said))


def _environment(home: Home) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if _is_passed_on(name)}
    return passed | {
        "PORTAL_HOME": str(home.path),
        "PORTAL_SCALE_DOWN_SECONDS": "10",
        "PORTAL_RUNTIME_WATCH": "false",
    }


def _is_passed_on(name: str) -> bool:
    return name.upper() in PASSED_ON or name.startswith("UV_")
