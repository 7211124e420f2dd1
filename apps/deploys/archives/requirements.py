"""What a project may ask for in requirements.txt: a list of what is allowed, and no more. Pure.

Packages come from the package index alone. So a line is a name, with extras, version specifiers,
markers and hashes; `-r` may name another requirements file of the project.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from apps.core.errors import Invalid
from apps.deploys.archives.building import ArchiveRefused

FIRST_FILE = "requirements.txt"
MOST_LINES = 1_000
MOST_PROBLEMS = 10
MOST_DEPTH = 5
MOST_SHOWN = 80
COMMENT = re.compile(r"(^|\s)#.*$")
HASH = re.compile(r"\s--hash[= ](sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})\b")
INCLUDE = re.compile(r"(?:-r|--requirement)[ =]?\s*(?P<path>\S+)")
OPTIONS = {
    ("-e", "--editable"): "A package of the project itself is imported from include.",
    ("-c", "--constraint"): "The Deployment's runtime brings its own constraints.",
    ("-i", "--index-url", "--extra-index-url", "--no-index"): (
        "Which package index is used is a setting of this portal."
    ),
    ("-f", "--find-links", "--trusted-host"): "Packages come from the package index alone.",
    ("--pre",): "Ask for a pre-release by its version, such as name==2.0rc1.",
}
INSTEAD = "A line is the name of a package, with a version perhaps."


class LineRefused(Invalid):
    """A line asks for something else than a package of the index."""


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a project needs: PEP 508 `lines` with hashes perhaps, and the versions that its own lock
    prefers.
    """

    lines: tuple[str, ...] = ()
    preferred: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.lines)


def requirements_of(project: Mapping[str, Any]) -> Requirements:
    """Return what an archive asks for: requirements.txt, or pyproject.toml where there is none.

    Raises ArchiveRefused, with a sentence for each line that is not allowed.
    """
    texts = project.get("requirements", {})
    if FIRST_FILE in texts:
        found = list(_lines_of(FIRST_FILE, texts))
    else:
        found = [("pyproject.toml", one) for one in project.get("dependencies", [])]
    if len(found) > MOST_LINES:
        raise ArchiveRefused(f"The project asks for more than {MOST_LINES:,} packages.")
    lines, problems = [], []
    for place, line in found:
        try:
            lines.append(_checked(place, line))
        except LineRefused as refused:
            problems.append(refused.message)
    if problems:
        raise ArchiveRefused(*problems[:MOST_PROBLEMS])
    return Requirements(lines=tuple(dict.fromkeys(lines)), preferred=project.get("locked", {}))


def _lines_of(
    path: str, texts: Mapping[str, str], above: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line, those of files that `-r` names in its stead."""
    for number, line in _logical_lines(texts[path]):
        include = INCLUDE.fullmatch(line)
        folder = posixpath.dirname(path)
        target = posixpath.normpath(posixpath.join(folder, include["path"])) if include else ""
        if target in texts and target not in (*above, path) and len(above) < MOST_DEPTH:
            yield from _lines_of(target, texts, (*above, path))
        else:
            yield f"{path}, line {number}", line


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of lines, without comments; a backslash continues a line."""
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if pending else number
        line = COMMENT.sub("", line).rstrip()
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        whole, pending = (pending + line).strip(), ""
        if whole:
            yield first, whole
    if pending.strip():
        yield first, pending.strip()


def _checked(place: str, line: str) -> str:
    """Return a line in its plain form. Raises LineRefused if it is not allowed."""
    shown = line[:MOST_SHOWN]
    if include := INCLUDE.fullmatch(line):
        raise LineRefused(
            f"{place}: {include['path'][:MOST_SHOWN]} is no requirements file of the project. Name "
            "one that is called requirements….txt or lies in the folder requirements."
        )
    if line.startswith("-"):
        option = re.split(r"[ =]", line)[0][:MOST_SHOWN]
        reason = next((text for names, text in OPTIONS.items() if option in names), INSTEAD)
        raise LineRefused(f"{place}: the option {option} is not allowed. {reason}")
    hashes = HASH.findall(line)
    plain = HASH.sub("", line).strip()
    if "://" in plain or "@" in plain or plain.startswith((".", "/", "~")) or "\\" in plain:
        raise LineRefused(
            f"{place}: {shown} is an address or a path. Packages come from the package index "
            "alone: write its name, with a version perhaps."
        )
    try:
        wanted = Requirement(plain)
    except InvalidRequirement:
        raise LineRefused(
            f"{place}: {shown} is no requirement. Write name, name==1.2 or name>=1,<2."
        ) from None
    return str(wanted) + "".join(f" --hash={one}" for one in hashes)
