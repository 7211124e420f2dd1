"""Installs one runtime: its packages, then a migrated template database. A program of its own under
supervisord.

`runtimes.py` starts it and reads `progress.json`. Every phase can be interrupted and repeated: what
is not marked as complete is removed first. Run as `python -m apps.dataplane.local.airflow.installer
<version>`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uv

from apps.dataplane.errors import DataPlaneError, Permanent
from apps.dataplane.local.airflow.metadata import database
from apps.dataplane.local.airflow.runtimes import RuntimeFolder, uv_environment
from apps.dataplane.local.config import LocalConfig
from apps.dataplane.local.home import Home
from apps.dataplane.local.private_files import write_private
from apps.dataplane.project_checks.causes import known_cause

LAST_LINES = 30
WRITE_SECONDS = 0.3


@dataclass
class Report:
    """The progress that pages show; `phase` is packages, database, done or failed."""

    phase: str = "packages"
    package_count: int = 0
    installed_count: int = 0
    message: str = ""
    started_at: float = field(default_factory=time.time)
    lines: list[str] = field(default_factory=list)


class Installation:
    """One run of the installer for one runtime."""

    def __init__(self, *, folder: RuntimeFolder, config: LocalConfig) -> None:
        self.folder = folder
        self.config = config
        self.report = Report()
        self._written_at = 0.0
        self.lines: deque[str] = deque(maxlen=LAST_LINES)

    def run(self) -> None:
        """Install what is missing. Raises DataPlaneError."""
        self._write()
        self.folder.remove_unused()
        if not self.folder.has_packages:
            self._install_packages()
        self.report.phase = "database"
        self._write()
        template = database.template_name(self.folder.version)
        if not database.has_database(self.config, template):
            self._make_template(template)
        self.report.phase = "done"
        self._write()

    def fail(self, message: str) -> None:
        """Report why it failed."""
        self.report.phase = "failed"
        self.report.message = message
        self._write()

    def _install_packages(self) -> None:
        environment = self.folder.environment
        shutil.rmtree(environment, ignore_errors=True)
        self.report.package_count = len(
            re.findall(r"^[\w.-]+==", self.folder.lock.read_text(), re.MULTILINE)
        )
        uv_binary, known = uv.find_uv_bin(), uv_environment(self.config)
        self._follow([uv_binary, "venv", "--python", self.config.python, str(environment)], known)
        self._follow(
            [
                *(uv_binary, "pip", "sync", "--require-hashes", "--compile-bytecode"),
                *("--python", str(self.folder.python), str(self.folder.lock)),
            ],
            known,
        )
        self.folder.mark_packages()

    def _make_template(self, template: str) -> None:
        url = database.begin_template(self.config, template)
        with tempfile.TemporaryDirectory(prefix="airflow-", dir=self.folder.path) as airflow_home:
            environment = {
                "AIRFLOW_HOME": airflow_home,
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
                "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
                "PATH": os.environ["PATH"],
            }
            self._follow([str(self.folder.python), "-m", "airflow", "db", "migrate"], environment)
        database.finish_template(self.config, template)

    def _follow(self, command: list[str], environment: dict[str, str]) -> None:
        for line in _output_of(command, environment):
            print(line, flush=True)
            self.lines.append(line)
            if time.monotonic() - self._written_at > WRITE_SECONDS:
                self.report.installed_count = self._count_installed()
                self._write()
        if self.lines and self.lines[-1].startswith("exit "):
            raise Permanent(self._cause())

    def _cause(self) -> str:
        if cause := known_cause("\n".join(self.lines)):
            return cause
        what = "packages" if self.report.phase == "packages" else "template database"
        return f"The {what} of the runtime could not be prepared."

    def _count_installed(self) -> int:
        return sum(1 for _ in self.folder.environment.glob("lib/python*/site-packages/*.dist-info"))

    def _write(self) -> None:
        self.report.lines = list(self.lines)
        self._written_at = time.monotonic()
        write_private(self.folder.progress, json.dumps(asdict(self.report)))


def _output_of(command: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Yield the lines a command prints, and at the end `exit <code>` if it failed."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            yield line.rstrip()
    if process.returncode:
        yield f"exit {process.returncode}"


def main() -> int:
    """Install the runtime named on the command line; return the exit status."""
    home = Home.from_environment()
    folder = RuntimeFolder(home, sys.argv[1], Path(sys.argv[2]))
    installation = Installation(folder=folder, config=LocalConfig.from_environment(home))
    try:
        installation.run()
    except DataPlaneError as error:
        installation.fail(error.message)
        return 1
    except OSError as error:
        installation.fail(f"{error.strerror or error}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
