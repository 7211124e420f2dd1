"""Which files of an archive Airflow does not read as DAG files: the rules of .airflowignore.

Pure, and of the standard library only: `program` uses it. Patterns come from the upload and
may take for ever; the limits of that process end them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

IGNORE_FILE = ".airflowignore"
GLOB_PARTS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class IgnoreRule(NamedTuple):
    """A line of an ignore file in `folder` (with a final slash, or empty at the top)."""

    folder: str
    pattern: re.Pattern[str]
    is_exception: bool = False
    is_for_folders: bool = False
    is_for_names: bool = False
    is_for_whole_paths: bool = False

    def matches(self, path: str, *, is_folder: bool) -> bool:
        if not path.startswith(self.folder) or (self.is_for_folders and not is_folder):
            return False
        if self.is_for_whole_paths:
            return self.pattern.search(path) is not None
        name = path.rpartition("/")[2] if self.is_for_names else path.removeprefix(self.folder)
        return self.pattern.fullmatch(name) is not None


def ignored_paths(
    paths: Iterable[str], ignore_files: Mapping[str, bytes], *, syntax: str
) -> set[str]:
    """Return the paths that Airflow does not read as DAG files. `syntax` is `glob` or `regexp`, as
    Airflow's option `dag_ignore_file_syntax`.
    """
    make = _regexp_rule if syntax == "regexp" else _glob_rule
    # A deeper file counts after those above it, and may take back what they ignore.
    rules = [
        rule
        for path, content in sorted(ignore_files.items(), key=lambda item: item[0].count("/"))
        for line in content.decode("utf-8", "replace").split("\n")
        if (rule := make(path.removesuffix(IGNORE_FILE), re.sub(r"\s*#.*", "", line).strip()))
    ]
    return {path for path in paths if _is_ignored(path, rules)}


def _is_ignored(path: str, rules: list[IgnoreRule]) -> bool:
    """Return whether a file or a folder above it is ignored: Airflow does not enter that."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        here, is_folder, is_ignored = "/".join(parts[:depth]), depth < len(parts), False
        for rule in rules:
            if rule.matches(here, is_folder=is_folder):
                is_ignored = not rule.is_exception
        if is_ignored:
            return True
    return False


def _regexp_rule(folder: str, line: str) -> IgnoreRule | None:
    try:
        return IgnoreRule(folder, re.compile(line), is_for_whole_paths=True) if line else None
    except re.error:
        return None  # Airflow skips it, too


def _glob_rule(folder: str, line: str) -> IgnoreRule | None:
    is_exception = line.startswith("!")
    pattern = line.removeprefix("!").removeprefix("\\")
    is_for_folders = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    if not pattern:
        return None
    try:
        compiled = re.compile(_regexp_of_glob(pattern.removeprefix("/")))
    except re.error:
        return None
    return IgnoreRule(
        folder,
        compiled,
        is_exception=is_exception,
        is_for_folders=is_for_folders,
        is_for_names="/" not in pattern,
    )


def _regexp_of_glob(pattern: str) -> str:
    """Translate a pattern as of .gitignore: `*` and `?` stay within a folder, `**` does not."""
    return "".join(
        GLOB_PARTS.get(part) or _class_of_glob(part) or re.escape(part)
        for part in re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?|\[!?\]?[^\]]+\])", pattern)
    )


def _class_of_glob(part: str) -> str:
    if not (part.startswith("[") and part.endswith("]")):
        return ""
    return f"[^{part[2:]}" if part.startswith("[!") else part
