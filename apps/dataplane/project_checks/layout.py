"""How a whole project lies in its folder, and what of it is loaded with its plugins."""

import re
from collections.abc import Callable, Collection

DAGS, PLUGINS, INCLUDE = "dags", "plugins", "include"
# Known to `portal_code` in the folder `runtime`, and to the checks of uploads.
MARKS = (PLUGINS, INCLUDE, "requirements.txt", "pyproject.toml", "packages.txt", "Dockerfile")
IMPORTS_INCLUDE = re.compile(rb"^[ \t]*(?:from|import)[ \t]+include\b", re.MULTILINE)


def is_project(paths: Collection[str]) -> bool:
    """Return whether files, by their paths, are a whole project: DAG files are those in `dags`."""
    if f"{DAGS}/__init__.py" in paths or not any(path.startswith(f"{DAGS}/") for path in paths):
        return False
    return not {path.partition("/")[0] for path in paths}.isdisjoint(MARKS)


def plugin_paths(paths: Collection[str], *, read: Callable[[str], bytes]) -> tuple[str, ...]:
    """Return which of a project's files are its plugins, with `include` where they import it; none
    where it has no plugins.
    """
    kept = [path for path in sorted(paths) if "__pycache__" not in path.split("/")]
    plugins = [path for path in kept if path.startswith(f"{PLUGINS}/")]
    sources = [path for path in plugins if path.endswith(".py")]
    if any(IMPORTS_INCLUDE.search(read(path)) for path in sources):
        plugins += [path for path in kept if path.startswith(f"{INCLUDE}/")]
    return tuple(plugins)
