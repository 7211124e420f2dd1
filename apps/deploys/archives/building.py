"""Uploads of code: what is accepted, and the clean archive made of it. Knows nothing of Django.

A single .py file, or a zip or tar.gz of a dags folder or of a whole project, becomes a zip that
depends on paths, contents and executable bits alone (sorted, one fixed time, mode 0644 or 0755), so
the same code has the same digest whoever packs it. A single top folder is stripped, unless it is a
Python package or imported by its name. All reading happens in `program`, a process
with limits.
"""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from apps.core.errors import Invalid
from apps.deploys.archives.layout import is_project

MIB = 1024 * 1024
PROJECT = Path(__file__).resolve().parents[3]
# Isolated from packages and from the environment, it finds its own modules alone.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from apps.deploys.archives.program import main; main()"
)
SUFFIXES = (".py", ".zip", ".tar.gz", ".tgz")


class ArchiveRefused(Invalid):
    """The upload is not accepted; nothing has changed. One message per problem."""

    def __init__(self, *error_messages: str) -> None:
        super().__init__(" ".join(error_messages), field="archive")
        self.error_messages = error_messages


@dataclass(frozen=True, kw_only=True)
class Limits:
    max_upload_bytes: int = 50 * MIB
    max_files: int = 5_000
    max_file_bytes: int = 20 * MIB
    max_unpacked_bytes: int = 500 * MIB
    cpu_seconds: int = 40
    wall_seconds: int = 80
    memory_bytes: int = 768 * MIB


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What will read the code. `runtime` is its name, empty if not known; `is_portals_python` says
    that it runs on the Python of the portal, which then decides on syntax. `ignore_syntax` is
    Airflow's option for .airflowignore: `glob` or `regexp`. `is_local` is for Deployments that run
    on this machine, which has no images.
    """

    runtime: str = ""
    is_portals_python: bool = True
    ignore_syntax: str = "glob"
    is_local: bool = True


@dataclass(frozen=True, kw_only=True)
class CodeFile:
    path: str
    size: int
    sha256: str
    is_program: bool = False


@dataclass(frozen=True, kw_only=True)
class CodeArchive:
    """A clean archive at `path`, its SHA-256 `digest`, `notes` on what was left out, and `warnings`
    that hold as long as the code is used. `project` is what it says of its packages: texts of
    `requirements` files, `dependencies` of pyproject.toml, versions `locked` by uv.lock.
    """

    path: Path
    digest: str
    size_bytes: int
    files: tuple[CodeFile, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    project: dict[str, Any] = field(default_factory=dict)

    @property
    def is_project(self) -> bool:
        return is_project([file.path for file in self.files])

    def file_rows(self) -> list[dict[str, Any]]:
        """Return the files as `Deploy.files` stores them."""
        return [asdict(file) for file in self.files]


def build_archive(
    *,
    name: str,
    chunks: Iterable[bytes],
    folder: Path,
    limits: Limits,
    reader: Reader = Reader(),
) -> CodeArchive:
    """Write the upload into `folder` (empty, owned by the caller) and build a clean archive of it
    there.

    Raises ArchiveRefused; OSError when the disk is full.
    """
    if not name.lower().endswith(SUFFIXES):
        raise ArchiveRefused(
            f"{name} is neither a .py file nor a .zip or .tar.gz file. Choose one of these."
        )
    upload = folder / "upload"
    _save(chunks, upload, limits)
    output = folder / "clean.zip"
    result = _run_builder(_job(name, upload, output, limits, reader), limits)
    with output.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return CodeArchive(
        path=output,
        digest=digest,
        size_bytes=output.stat().st_size,
        files=tuple(CodeFile(**file) for file in result["files"]),
        notes=tuple(result["notes"]),
        warnings=tuple(result["warnings"]),
        project=result["project"],
    )


def _save(chunks: Iterable[bytes], path: Path, limits: Limits) -> None:
    size = 0
    with path.open("wb") as target:
        for chunk in chunks:
            size += len(chunk)
            if size > limits.max_upload_bytes:
                raise ArchiveRefused(
                    f"The file is larger than {limits.max_upload_bytes // MIB} MiB."
                )
            target.write(chunk)
    if size == 0:
        raise ArchiveRefused("The file is empty.")


def _job(name: str, upload: Path, output: Path, limits: Limits, reader: Reader) -> dict[str, Any]:
    return {
        "name": name,
        "upload": str(upload),
        "output": str(output),
        "max_files": limits.max_files,
        "max_file_bytes": limits.max_file_bytes,
        "max_unpacked_bytes": limits.max_unpacked_bytes,
        "max_output_bytes": limits.max_unpacked_bytes + 16 * MIB,
        "runtime": reader.runtime,
        "is_runtimes_python": reader.is_portals_python,
        "ignore_syntax": reader.ignore_syntax,
        "is_local": reader.is_local,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
    }


def _run_builder(job: dict[str, Any], limits: Limits) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", PROGRAM, str(PROJECT)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
        text=True,
    )
    try:
        said, complaint = process.communicate(json.dumps(job), timeout=limits.wall_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        said, complaint = process.communicate()
    kind, value = _last_message(said)
    if kind == "built":
        return dict(value)
    if kind == "refused":
        raise ArchiveRefused(*value)
    if "No space left" in complaint:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # Past its processor time a process gets SIGXCPU, past the wall clock we kill it.
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        place = f" It stopped at {value}." if value else ""
        raise ArchiveRefused(f"Checking the code takes too long. Deploy less at once.{place}")
    if kind == "compiling":
        raise ArchiveRefused(f"{value}: it is nested too deeply or too large to be compiled.")
    raise ArchiveRefused("Reading the archive takes too much time or memory. Make it smaller.")


def _last_message(said: str) -> tuple[str, Any]:
    # A process that was killed may leave half a line.
    lines = [line for line in said.split("\n")[:-1] if line]
    if not lines:
        return "", None
    kind, value = json.loads(lines[-1])
    return kind, value
