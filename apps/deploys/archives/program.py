"""Turn an untrusted upload into a clean archive. `building` starts this program.

It runs as a process of its own, with limits on memory, time and output, because a hostile archive
or source file can exhaust or crash the interpreter that reads it. It and what it imports use the
standard library only, and never run what they read.

The conversation is JSON: the job on stdin; on stdout a line `["compiling", path]` before each
source file, so that a crash can be attributed, and at the end `["refused", [message, ...]]` or
`["built", {"files", "notes", "warnings", "project"}]`.
"""

import hashlib
import io
import json
import re
import resource
import stat
import struct
import sys
import tarfile
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from apps.deploys.archives import layout
from apps.deploys.archives.dag_ids import DagIds
from apps.deploys.archives.ignore_files import IGNORE_FILE, ignored_paths
from apps.deploys.archives.members import (
    Member,
    Refusal,
    check_kind,
    gunzip,
    tar_members,
    zip_members,
)

MAX_DEPTH = 20
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1_000
MAX_PROBLEMS = 10
MAX_NAMED_FILES = 3
# Ordinary text compresses to a tenth; no genuine large file compresses to less than a hundredth.
MAX_RATIO = 100
RATIO_COUNTS_FROM_BYTES = 10 * 1024 * 1024
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
JUNK = {
    "__MACOSX",
    ".AppleDouble",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    "Thumbs.db",
    "desktop.ini",
    "__pycache__",
    # Copies that Jupyter makes of files, and what editors and checkers keep for themselves.
    ".ipynb_checkpoints",
    ".idea",
    ".vscode",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".git",
    ".hg",
    ".svn",
    ".venv",
}
# macOS keeps what its own file system knows of `dag.py` in `._dag.py`.
APPLE_DOUBLE = "._"
FOLDER_ICON = "Icon\r"
TAR_SUFFIXES = (".tar.gz", ".tgz")
# Files that a Deployment on a cluster does not use: its packages are those of its image.
UNUSED = {
    "packages.txt": "its packages are not installed: a Deployment has those of its image",
    "Dockerfile": "no image is built from it",
}
# Places where a newer Python accepts what an older one does not: `type` and type parameters, nested
# quotes in f-strings (3.12), exceptions without parentheses and template strings (3.14).
NEWER_SYNTAX = re.compile(
    r"""^\s*type\s+\w+ | ^\s*(async\s+)?def\s+\w+\s*\[ | ^\s*class\s+\w+\s*\[
    | \b[rR]?[fFtT][rR]?["'] | ^\s*except\b.*,""",
    re.VERBOSE,
)


class Builder:
    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.files: list[dict[str, object]] = []
        self.project: dict[str, Any] = {}
        self.dag_ids = DagIds()

    def build(self) -> None:
        name = self.job["name"].lower()
        if name.endswith(".zip"):
            with zipfile.ZipFile(self.job["upload"]) as upload:
                self._write(self._members(zip_members(upload)))
            return
        if name.endswith(TAR_SUFFIXES):
            self._build_from_tar(Path(self.job["upload"]))
            return
        path = _clean_path(unicodedata.normalize("NFC", self.job["name"]))
        with open(self.job["upload"], "rb") as stream:
            content = stream.read(self.job["max_file_bytes"] + 1)
        self._check_size(path, len(content))
        with self._output() as output:
            self._add(output, path, content)

    def _build_from_tar(self, upload: Path) -> None:
        unpacked = upload.with_suffix(".tar")
        gunzip(
            upload,
            unpacked,
            most_bytes=self.job["max_output_bytes"],
            most_ratio=MAX_RATIO,
            from_bytes=RATIO_COUNTS_FROM_BYTES,
        )
        with tarfile.open(unpacked, "r:") as tar:
            size, most = upload.stat().st_size, 10 * self.job["max_files"]
            self._write(self._members(tar_members(tar, packed_bytes=size, most=most)))

    def _members(self, members: Iterable[Member]) -> dict[str, Member]:
        """Return the files to keep by their path; refuse the upload if one is not acceptable."""
        kept: dict[str, Member] = {}
        dropped: set[str] = set()
        for member in members:
            if member.name.endswith(FOLDER_ICON):
                dropped.add("Icon of macOS")
                continue
            path = _clean_path(member.name)
            if junk := _junk_in(path):
                dropped.update(junk)
                continue
            check_kind(path, member.kind)
            if member.kind == "folder" or not path:
                continue
            if path in kept:
                raise Refusal(f"The archive contains {path} twice. Zip it again.")
            self._check_size(path, member.size)
            kept[path] = member
        if dropped:
            self.notes.append(
                f"Skipped, because Airflow does not use it: {', '.join(sorted(dropped))}."
            )
        self._check_whole(kept)
        return self._laid_out(self._without_top_folder(kept))

    def _check_whole(self, kept: dict[str, Member]) -> None:
        if len(kept) > self.job["max_files"]:
            raise Refusal(
                f"The archive contains {len(kept):,} files; at most {self.job['max_files']:,} "
                "are allowed."
            )
        unpacked = sum(member.size for member in kept.values())
        packed = sum(member.packed for member in kept.values())
        if unpacked > self.job["max_unpacked_bytes"]:
            limit = self.job["max_unpacked_bytes"] // 1024**2
            raise Refusal(
                f"Unpacked, the archive is larger than {limit} MiB. Leave data files out of it."
            )
        if unpacked > RATIO_COUNTS_FROM_BYTES and unpacked > MAX_RATIO * packed:
            raise Refusal(
                f"The archive unpacks to more than {MAX_RATIO} times its size, which code does not."
            )
        _check_collisions(kept)

    def _without_top_folder(self, kept: dict[str, Member]) -> dict[str, Member]:
        tops = {PurePosixPath(path).parts[0] for path in kept}
        if len(tops) != 1 or any("/" not in path for path in kept):
            return kept
        top = tops.pop()
        # A Python package is imported by the name of its folder, so that folder has to stay.
        if f"{top}/__init__.py" in kept:
            return kept
        for path, member in kept.items():
            if path.endswith(".py") and imports(_read(member, path), top, kept):
                self.notes.append(f"Kept the folder {top}, because {path} imports from it.")
                return kept
        inside = {path.removeprefix(f"{top}/"): member for path, member in kept.items()}
        what = "project" if layout.is_project(inside) else "dags folder"
        self.notes.append(f"Used the folder {top} as the {what}.")
        return inside

    def _laid_out(self, kept: dict[str, Member]) -> dict[str, Member]:
        """Leave out what a Deployment must not get, and say so."""
        reasons = layout.left_out(kept)
        for path, reason in sorted(reasons.items()):
            if path in layout.LEFT_OUT:
                self.notes.append(f"{path} was left out: {reason}.")
        n_tests = sum(reason == "tests" for reason in reasons.values())
        if n_tests:
            self.notes.append(f"The folder tests was left out: {n_tests} files.")
        return {path: member for path, member in kept.items() if path not in reasons}

    def _write(self, members: dict[str, Member]) -> None:
        self._read_project(members)
        contents = {
            path: _read(members[path], path)
            for path in members
            if PurePosixPath(path).name == IGNORE_FILE
        }
        ignored = ignored_paths(members, contents, syntax=self.job["ignore_syntax"])
        sources = [path for path in members if path.endswith(".py")]
        if not sources and not any(
            path.endswith(".zip") and _is_packed_dag(_read(members[path], path)) for path in members
        ):
            raise Refusal(
                "The archive contains no .py file, and no zip of such files, so Airflow would find "
                "no DAGs in it."
            )
        if sources and ignored.issuperset(sources):
            self.notes.append(f"The {IGNORE_FILE} leaves no .py file that Airflow reads.")
        with self._output() as output:
            for path in sorted(members):
                self._add(
                    output,
                    path,
                    _read(members[path], path),
                    is_program=members[path].is_program,
                    is_checked=path not in ignored,
                )
        self._note_duplicates()

    def _read_project(self, members: dict[str, Member]) -> None:
        """Note what the project needs beside its code, and refuse what cannot be had."""
        is_local = self.job["is_local"]
        checks = {"Dockerfile": layout.check_dockerfile, "packages.txt": layout.check_packages}
        for name, check in checks.items():
            if name not in members:
                continue
            try:
                check(_read(members[name], name).decode("utf-8", "replace"))
            except Refusal as refusal:
                if is_local:
                    self.problems.append(str(refusal))
                else:
                    self.notes.append(f"{name} is not used: {UNUSED[name]}.")
        try:
            self.project = self._dependencies(members)
        except Refusal as refusal:
            self.problems.append(str(refusal))

    def _dependencies(self, members: dict[str, Member]) -> dict[str, Any]:
        texts = {
            path: _read(members[path], path)
            for path in members
            if layout.REQUIREMENTS.fullmatch(path)
        }
        found: dict[str, Any] = {"requirements": layout.requirement_texts(texts)}
        if "pyproject.toml" in members:
            content = _read(members["pyproject.toml"], "pyproject.toml")
            found["dependencies"] = layout.dependencies_of(content)
        if "uv.lock" in members:
            found["locked"] = layout.locked_versions(_read(members["uv.lock"], "uv.lock"))
        return found

    def _note_duplicates(self) -> None:
        duplicates = sorted(self.dag_ids.duplicates().items())
        for dag_id, paths in duplicates[:MAX_PROBLEMS]:
            self.warnings.append(
                f"{_listed(paths)} define the same DAG id, {dag_id}. Airflow keeps one DAG of that "
                "id and may switch between the files. Rename one of them."
            )
        if (more := len(duplicates) - MAX_PROBLEMS) > 0:
            self.warnings.append(f"{more} more DAG ids are defined by more than one file.")

    def _output(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.job["output"], "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    def _add(
        self,
        output: zipfile.ZipFile,
        path: str,
        content: bytes,
        *,
        is_program: bool = False,
        is_checked: bool = True,
    ) -> None:
        if path.endswith(".py") and is_checked:
            self._compile(path, content)
            self.dag_ids.add(path, content)
        if len(self.problems) >= MAX_PROBLEMS:
            raise Refusal("")
        member = zipfile.ZipInfo(path, FIXED_TIME)
        member.create_system = 3
        # Whether it is a program is all that is taken over of a mode.
        member.external_attr = (stat.S_IFREG | (0o755 if is_program else 0o644)) << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        output.writestr(member, content)
        digest = hashlib.sha256(content).hexdigest()
        file: dict[str, object] = {"path": path, "size": len(content), "sha256": digest}
        self.files.append({**file, "is_program": True} if is_program else file)

    def _compile(self, path: str, content: bytes) -> None:
        is_judge, runtime = self.job["is_runtimes_python"], self.job["runtime"]
        for problem in compile_problems(path, content):
            if problem.is_newer and not is_judge:
                if len(self.notes) < MAX_PROBLEMS:
                    self.notes.append(
                        f"{problem.message} That is Python {PYTHON}, the portal's. If Airflow's "
                        "own is no newer, the file becomes an import error."
                    )
            elif problem.is_syntax and runtime:
                of = (
                    f"Runtime {runtime} runs on" if is_judge else "It was checked with the portal's"
                )
                self.problems.append(f"{problem.message} {of} Python {PYTHON}.")
            else:
                self.problems.append(problem.message)

    def _check_size(self, path: str, size: int) -> None:
        if size > self.job["max_file_bytes"]:
            limit = self.job["max_file_bytes"] // 1024**2
            raise Refusal(
                f"{path} is larger than {limit} MiB. Leave data files out of the dags folder."
            )


def _junk_in(path: str) -> set[str]:
    parts = PurePosixPath(path).parts
    if found := JUNK.intersection(parts):
        return found
    if any(part.startswith(APPLE_DOUBLE) for part in parts):
        return {"._ files of macOS"}
    return {".pyc"} if path.endswith(".pyc") else set()


def _is_packed_dag(content: bytes) -> bool:
    """Return whether a zip inside the archive has modules at its top, where Airflow looks."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            return any("/" not in name and name.endswith(".py") for name in packed.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return False


def imports(source: bytes, folder: str, paths: Container[str]) -> bool:
    """Return whether a source file imports from the folder that it lies in, or names a class of it
    as text (`"etl.triggers.Nap"`), as triggers do.
    """
    if not folder.isidentifier():
        return False
    name = re.escape(folder.encode())
    statement = rb"^[ \t]*(from[ \t]+%b[ \t.]|import[ \t]+([\w., \t]+,[ \t]*)?%b\b)" % (name, name)
    if re.search(statement, source, re.MULTILINE):
        return True
    named = re.findall(rb"[\"']%b\.(\w+)[\w.]*[\"']" % name, source)
    return any(f"{folder}/{module.decode(errors='replace')}.py" in paths for module in named)


def _listed(paths: list[str]) -> str:
    *before, last = paths[:MAX_NAMED_FILES]
    if (more := len(paths) - MAX_NAMED_FILES) > 0:
        return f"{', '.join([*before, last])} and {more} more"
    return f"{', '.join(before)} and {last}"


def _clean_path(name: str) -> str:
    shown = name.encode("unicode_escape").decode()[:120]
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        # What no UTF-8 is, as Python reads it.
        raise Refusal(f"The name {shown} is not UTF-8. Rename the file, or pack it as a zip.")
    if not name.isprintable():
        raise Refusal(f"The name {shown} contains invisible characters. Rename the file.")
    if "\\" in name:
        raise Refusal(
            f"The name {name[:120]} contains a backslash. Use a zip tool that writes / instead."
        )
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise Refusal(
            f"{name[:120]} points outside the archive. Zip the dags folder with relative paths."
        )
    path = "/".join(parts)
    if len(path.encode()) > MAX_PATH_BYTES or any(
        len(part.encode()) > MAX_NAME_BYTES for part in parts
    ):
        raise Refusal(
            f"The name {name[:60]}… is too long: a name can have at most {MAX_NAME_BYTES} bytes."
        )
    if len(parts) > MAX_DEPTH:
        raise Refusal(f"{name[:120]} is nested more than {MAX_DEPTH} folders deep.")
    return path


def _check_collisions(paths: dict[str, Member]) -> None:
    # File names on macOS and Windows ignore case: two files on one disk would be one on another.
    seen: dict[str, str] = {}
    for path in paths:
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise Refusal(f"{seen[key]} and {path} differ only in case. Rename one of them.")
        seen[key] = path
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    for path in folders.intersection(paths):
        raise Refusal(f"{path} is both a file and a folder. Zip it again.")


def _read(member: Member, path: str) -> bytes:
    try:
        # Never more than the header stated, so the sums that were checked hold.
        return member.read()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise Refusal(f"{path} is damaged in the archive. Zip it again.") from error


class Problem(NamedTuple):
    """Why a source file does not compile; `is_newer` if a newer Python might accept it."""

    message: str
    is_syntax: bool = False
    is_newer: bool = False


def compile_problems(path: str, source: bytes) -> Iterator[Problem]:
    """Return why a source file does not compile. None of it is run."""
    if b"\0" in source:
        yield Problem(
            f"{path}: it contains null bytes, so it is not UTF-8 source. Save it as UTF-8."
        )
        return
    say("compiling", path)
    try:
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        yield _syntax_problem(path, source, error)
    except (RecursionError, MemoryError):
        yield Problem(f"{path}: it is nested too deeply or too large to compile.")
    except (ValueError, OverflowError) as error:
        yield Problem(f"{path}: {error}.")


def _syntax_problem(path: str, source: bytes, error: SyntaxError) -> Problem:
    reason = (error.msg or "invalid syntax").rstrip(".")
    if (
        "codec can't decode" in reason
        or "unknown encoding" in reason
        or "encoding problem" in reason
    ):
        return Problem(f"{path}: it is not encoded as UTF-8. Save it as UTF-8. ({reason[:200]})")
    number = error.lineno or 1
    lines = source.split(b"\n")
    line = lines[number - 1].decode("utf-8", "replace") if number <= len(lines) else ""
    return Problem(
        f"{path}, line {number}: {reason[:300]}.",
        is_syntax=True,
        is_newer=NEWER_SYNTAX.search(line) is not None,
    )


def limit_resources(job: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_seconds"], job["cpu_seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["max_output_bytes"],) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    # macOS does not enforce it and refuses some values.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)


def say(kind: str, value: object) -> None:
    sys.stdout.write(json.dumps([kind, value]) + "\n")
    sys.stdout.flush()


def main() -> None:
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    limit_resources(job)
    builder = Builder(job)
    try:
        builder.build()
    except Refusal as refusal:
        builder.problems.extend(filter(None, [str(refusal)]))
    except zipfile.BadZipFile:
        builder.problems.append("This is not a zip archive, or it is damaged. Zip it again.")
    except (tarfile.TarError, zlib.error):
        builder.problems.append("This is not a tar.gz archive, or it is damaged. Pack it again.")
    except (NotImplementedError, ValueError, struct.error):
        builder.problems.append(
            "The archive cannot be read: its directory is not valid. Zip it again."
        )
    except MemoryError:
        builder.problems.append("Reading the archive takes too much memory. Make it smaller.")
    if builder.problems:
        say("refused", builder.problems)
        return
    built = {
        "files": builder.files,
        "notes": builder.notes,
        "warnings": builder.warnings,
        "project": builder.project,
    }
    say("built", built)
