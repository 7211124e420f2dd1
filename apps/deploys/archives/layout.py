"""The layout of a whole Airflow project: what of it is used, left out, and refused.

Pure, and of the standard library only: `program` uses it. Names and meanings are those of a project
of the Astro CLI, which a plain Airflow project shares for the most part.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from apps.deploys.archives.members import Refusal

# Known to `portal_code` in the folder `runtime`: beside one of these, DAGs are in `dags` alone.
MARKS = ("plugins", "include", "requirements.txt", "pyproject.toml", "packages.txt", "Dockerfile")
LEFT_OUT = {
    ".env": "variables are set in the Deployment's configuration, where secrets are encrypted",
    "airflow_settings.yaml": "its connections, variables and pools are not created",
}
TESTS = "tests/"
REQUIREMENTS = re.compile(r"requirements[\w.-]*\.txt|requirements/[\w./-]+\.txt")
MAX_TEXT_BYTES = 1024 * 1024
MAX_LOCK_BYTES = 8 * 1024 * 1024
MAX_DEPENDENCIES = 500
KNOWN_IMAGE = re.compile(r"(^|/)(astro-)?runtime(:|$)|(^|/)astro-runtime|apache/airflow")
MAX_SHOWN = 80


def is_project(paths: Collection[str]) -> bool:
    """Return whether an archive is a whole project: a folder `dags` beside one of its marks."""
    if "dags/__init__.py" in paths or not any(path.startswith("dags/") for path in paths):
        return False
    tops = {path.partition("/")[0] for path in paths}
    return not tops.isdisjoint(MARKS)


def left_out(paths: Collection[str]) -> dict[str, str]:
    """Return which files are not taken over, each with the reason in words."""
    reasons = {path: LEFT_OUT[path] for path in paths if path in LEFT_OUT}
    if is_project(paths):
        reasons |= {path: "tests" for path in paths if path.startswith(TESTS)}
    return reasons


def check_dockerfile(text: str) -> None:
    """Raise Refusal for a Dockerfile that does more than name an Airflow."""
    for number, line in _instructions(text):
        word, _, rest = line.partition(" ")
        image = rest.split()[0] if rest.split() else ""
        if word.upper() == "FROM" and KNOWN_IMAGE.search(image):
            continue
        if word.upper() == "FROM":
            raise Refusal(
                f"Dockerfile, line {number}: {rest[:MAX_SHOWN].strip()} is no image of Airflow. "
                "This machine runs no images: the Deployment's runtime takes its place. Name an "
                "image of Airflow, or remove the file."
            )
        raise Refusal(
            f"Dockerfile, line {number}: {line[:MAX_SHOWN]} would change the image of a cluster. "
            "This machine runs no images. Move Python packages into requirements.txt, and remove "
            "the line."
        )


def check_packages(text: str) -> None:
    """Raise Refusal for a packages.txt that names a package."""
    for number, line in _instructions(text):
        raise Refusal(
            f"packages.txt, line {number}: {line[:MAX_SHOWN]} is a package of Debian, which would "
            "be part of the image of a cluster. This machine runs no images: install it on the "
            "machine, and remove the line."
        )


def requirement_texts(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Return the requirements files as texts. Raises Refusal."""
    return {path: _text(path, content, MAX_TEXT_BYTES) for path, content in contents.items()}


def dependencies_of(content: bytes) -> list[str]:
    """Return the dependencies of a pyproject.toml. Raises Refusal."""
    data = _toml("pyproject.toml", content, MAX_TEXT_BYTES)
    project = data.get("project", {})
    found = project.get("dependencies", []) if isinstance(project, dict) else []
    tool = data.get("tool", {})
    uv = tool.get("uv", {}) if isinstance(tool, dict) else {}
    if isinstance(uv, dict) and uv.get("sources"):
        raise Refusal(
            "pyproject.toml: packages from tool.uv.sources are not installed, only those of the "
            "package index. Remove that section."
        )
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Refusal("pyproject.toml: project.dependencies is not a list of texts.")
    if len(found) > MAX_DEPENDENCIES:
        raise Refusal(f"pyproject.toml has more than {MAX_DEPENDENCIES} dependencies.")
    return found


def locked_versions(content: bytes) -> dict[str, str]:
    """Return name → version of a uv.lock. Raises Refusal."""
    data = _toml("uv.lock", content, MAX_LOCK_BYTES)
    rows = data.get("package", [])
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    from_index = [row for row in rows if "registry" in (row.get("source") or {})]
    pairs = ((row.get("name"), row.get("version")) for row in from_index)
    return {
        name: version
        for name, version in pairs
        if isinstance(name, str) and isinstance(version, str) and _is_plain(name + version)
    }


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[\w.+!-]{1,200}", text) is not None


def _instructions(text: str) -> list[tuple[int, str]]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _toml(name: str, content: bytes, most: int) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(name, content, most))
    except tomllib.TOMLDecodeError as error:
        raise Refusal(f"{name}: {error}.") from error


def _text(name: str, content: bytes, most: int) -> str:
    if len(content) > most:
        raise Refusal(f"{name} is larger than {most // 1024**2} MiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(f"{name} is not encoded as UTF-8. Save it as UTF-8.") from None
