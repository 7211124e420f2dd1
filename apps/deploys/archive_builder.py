"""Turn an untrusted upload into a clean archive. `archives` starts this program.

It runs as a process of its own, with limits on memory, time and output, because a hostile archive
or source file can exhaust or crash the interpreter that reads it. It uses the standard library only
and never runs what it reads.

The conversation is JSON: the job on stdin; on stdout a line `["compiling", path]` before each
source file, so that a crash can be attributed, and at the end `["refused", [message, ...]]` or
`["built", {"files", "notes"}]`.
"""

import hashlib
import json
import resource
import stat
import struct
import sys
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

MAX_DEPTH = 20
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1_000
MAX_PROBLEMS = 10
# Ordinary text compresses to a tenth; no genuine large file compresses to less than a hundredth.
MAX_RATIO = 100
RATIO_COUNTS_FROM_BYTES = 10 * 1024 * 1024
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", "__pycache__", ".git", ".venv"}
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Refusal(Exception):
    """The upload is not accepted. The message is for the person who sent it."""


class Builder:
    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.files: list[dict[str, object]] = []

    def build(self) -> None:
        if self.job["name"].lower().endswith(".zip"):
            with zipfile.ZipFile(self.job["upload"]) as upload:
                self._write(self._members(upload), upload)
            return
        path = _clean_path(self.job["name"])
        with open(self.job["upload"], "rb") as stream:
            content = stream.read(self.job["max_file_bytes"] + 1)
        self._check_size(path, len(content))
        with self._output() as output:
            self._add(output, path, content)

    def _members(self, upload: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """Return the files to keep by their path; refuse the upload if one is not acceptable."""
        kept: dict[str, zipfile.ZipInfo] = {}
        dropped: set[str] = set()
        for member in upload.infolist():
            # zipfile cuts a name at its first NUL; the uncut one shows the attempt.
            path = _clean_path(member.orig_filename)
            junk = JUNK.intersection(PurePosixPath(path).parts)
            if junk or path.endswith(".pyc"):
                dropped.update(junk or {".pyc"})
                continue
            _check_kind(path, member)
            if member.is_dir() or not path:
                continue
            if path in kept:
                raise Refusal(f"The archive contains {path} twice. Zip it again.")
            self._check_size(path, member.file_size)
            kept[path] = member
        if dropped:
            self.notes.append(
                f"Skipped, because Airflow does not use it: {', '.join(sorted(dropped))}."
            )
        self._check_whole(kept)
        return self._without_top_folder(kept)

    def _check_whole(self, kept: dict[str, zipfile.ZipInfo]) -> None:
        if len(kept) > self.job["max_files"]:
            raise Refusal(
                f"The archive contains {len(kept):,} files; at most {self.job['max_files']:,} "
                "are allowed."
            )
        unpacked = sum(member.file_size for member in kept.values())
        packed = sum(member.compress_size for member in kept.values())
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

    def _without_top_folder(self, kept: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        tops = {PurePosixPath(path).parts[0] for path in kept}
        if len(tops) != 1 or any("/" not in path for path in kept):
            return kept
        top = tops.pop()
        # A Python package is imported by the name of its folder, so that folder has to stay.
        if f"{top}/__init__.py" in kept:
            return kept
        self.notes.append(f"Used the folder {top} as the dags folder.")
        return {path.removeprefix(f"{top}/"): member for path, member in kept.items()}

    def _write(self, members: dict[str, zipfile.ZipInfo], upload: zipfile.ZipFile) -> None:
        if not any(path.endswith(".py") for path in members):
            raise Refusal("The archive contains no .py file, so Airflow would find no DAGs in it.")
        with self._output() as output:
            for path in sorted(members):
                self._add(output, path, _read(upload, members[path], path))

    def _output(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.job["output"], "w", zipfile.ZIP_DEFLATED, compresslevel=6)

    def _add(self, output: zipfile.ZipFile, path: str, content: bytes) -> None:
        if path.endswith(".py"):
            self.problems.extend(compile_problems(path, content))
        if len(self.problems) >= MAX_PROBLEMS:
            raise Refusal("")
        member = zipfile.ZipInfo(path, FIXED_TIME)
        member.create_system = 3
        member.external_attr = (stat.S_IFREG | 0o644) << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        output.writestr(member, content)
        digest = hashlib.sha256(content).hexdigest()
        self.files.append({"path": path, "size": len(content), "sha256": digest})

    def _check_size(self, path: str, size: int) -> None:
        if size > self.job["max_file_bytes"]:
            limit = self.job["max_file_bytes"] // 1024**2
            raise Refusal(
                f"{path} is larger than {limit} MiB. Leave data files out of the dags folder."
            )


def _clean_path(name: str) -> str:
    shown = name.encode("unicode_escape").decode()[:120]
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


def _check_kind(path: str, member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise Refusal(
            f"{path} is a symbolic link. Put the file itself into the archive (zip without "
            "--symlinks)."
        )
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refusal(f"{path} is not a regular file.")
    if member.flag_bits & 0x41:
        raise Refusal(f"{path} is encrypted. Zip it without a password.")
    if member.compress_type not in READABLE:
        raise Refusal(
            f"{path} uses an unsupported compression method. Use a regular zip (deflate)."
        )


def _check_collisions(paths: dict[str, zipfile.ZipInfo]) -> None:
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


def _read(upload: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> bytes:
    try:
        # Never more than the header stated, so the sums that were checked hold.
        return upload.read(member)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
        raise Refusal(f"{path} is damaged in the archive. Zip it again.") from error


def compile_problems(path: str, source: bytes) -> Iterator[str]:
    """Return why a source file does not compile. None of it is run."""
    if b"\0" in source:
        yield f"{path}: it contains null bytes, so it is not UTF-8 source. Save it as UTF-8."
        return
    say("compiling", path)
    try:
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        yield _syntax_message(path, source, error)
    except (RecursionError, MemoryError):
        yield f"{path}: it is nested too deeply or too large to compile."
    except (ValueError, OverflowError) as error:
        yield f"{path}: {error}."


def _syntax_message(path: str, source: bytes, error: SyntaxError) -> str:
    reason = (error.msg or "invalid syntax").rstrip(".")
    if (
        "codec can't decode" in reason
        or "unknown encoding" in reason
        or "encoding problem" in reason
    ):
        return f"{path}: it is not encoded as UTF-8. Save it as UTF-8. ({reason[:200]})"
    return f"{path}, line {error.lineno or 1}: {reason[:300]}."


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
    except (NotImplementedError, ValueError, struct.error):
        builder.problems.append(
            "The archive cannot be read: its directory is not valid. Zip it again."
        )
    except MemoryError:
        builder.problems.append("Reading the archive takes too much memory. Make it smaller.")
    if builder.problems:
        say("refused", builder.problems)
        return
    say("built", {"files": builder.files, "notes": builder.notes})


if __name__ == "__main__":
    main()
