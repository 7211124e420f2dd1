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
    problems: list[str] = []
    if FIRST_FILE in texts:
        lines = list(_lines_of(FIRST_FILE, texts, problems))
    else:
        named = [("pyproject.toml", one) for one in project.get("dependencies", [])]
        lines = [line for place, one in named if (line := _checked(place, one, problems))]
    if len(lines) > MOST_LINES:
        problems = [f"The project asks for more than {MOST_LINES:,} packages."]
    if problems:
        raise ArchiveRefused(*problems[:MOST_PROBLEMS])
    return Requirements(lines=tuple(dict.fromkeys(lines)), preferred=project.get("locked", {}))


def _lines_of(
    path: str, texts: Mapping[str, str], problems: list[str], depth: int = 0
) -> Iterator[str]:
    for number, line in _logical_lines(texts[path]):
        place = f"{path}, line {number}"
        if include := INCLUDE.fullmatch(line):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), include["path"]))
            if target not in texts or depth >= MOST_DEPTH:
                problems.append(
                    f"{place}: {include['path'][:MOST_SHOWN]} is no requirements file of the "
                    "project. Name one that is called requirements….txt or lies in the folder "
                    "requirements."
                )
                continue
            yield from _lines_of(target, texts, problems, depth + 1)
        elif checked := _checked(place, line, problems):
            yield checked


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


def _checked(place: str, line: str, problems: list[str]) -> str:
    """Return a line in its plain form; "" and a sentence in `problems` if it is not allowed."""
    shown = line[:MOST_SHOWN]
    if line.startswith("-"):
        option = re.split(r"[ =]", line)[0]
        reason = next((text for names, text in OPTIONS.items() if option in names), "")
        problems.append(
            f"{place}: the option {option[:MOST_SHOWN]} is not allowed. {reason}".strip()
        )
        return ""
    hashes = HASH.findall(line)
    plain = HASH.sub("", line).strip()
    if "://" in plain or "@" in plain or plain.startswith((".", "/", "~")) or "\\" in plain:
        problems.append(
            f"{place}: {shown} is an address or a path. Packages come from the package index "
            "alone: write its name, with a version perhaps."
        )
        return ""
    try:
        wanted = Requirement(plain)
    except InvalidRequirement:
        problems.append(f"{place}: {shown} is no requirement. Write name, name==1.2 or name>=1,<2.")
        return ""
    return str(wanted) + "".join(f" --hash={one}" for one in hashes)
