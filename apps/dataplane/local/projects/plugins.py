"""Plugins of a project, where every component of its Airflow finds them.

Airflow loads plugins when a process starts, from one folder. So they lie in a folder that is named
by their content: an edit of DAGs leaves it as it is, and restarts nothing. What plugins import from
`include` lies beside them.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from apps.dataplane.local.airflow.code import remove_tree
from apps.dataplane.local.layout import Folder
from apps.dataplane.project_checks.layout import DAGS, INCLUDE, MARKS, PLUGINS, plugin_paths
from apps.dataplane.spec import CodeSpec


def is_project(version: Path) -> bool:
    """Return whether a version of code is a whole project: its DAG files are those in `dags`."""
    dags = version / DAGS
    is_package = (dags / "__init__.py").exists()
    return dags.is_dir() and not is_package and any((version / name).exists() for name in MARKS)


def place_plugins(folder: Folder, code: CodeSpec | None) -> Path | None:
    """Return the folder that holds `plugins` of the version, made if it is not there; None where
    the version has none, or is not unpacked yet.
    """
    version = folder.code / code.digest if code else None
    if version is None or not is_project(version) or not (version / PLUGINS).is_dir():
        return None
    files = _files(version)
    if not files:
        return None
    target = folder.path / PLUGINS / _digest(version, files)
    if target.is_dir():
        return target
    target.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".copying-", dir=target.parent))
    try:
        for file in files:
            copy = unfinished / file.relative_to(version)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        unfinished.rename(target)
    finally:
        remove_tree(unfinished)
    return target


def prune_plugins(folder: Folder, *, programs: Collection[str]) -> None:
    """Remove copies that none of these program files names."""
    for path in (folder.path / PLUGINS).glob("*"):
        if not any(str(path) in program for program in programs):
            remove_tree(path)


def _files(version: Path) -> list[Path]:
    found = [path for top in (PLUGINS, INCLUDE) for path in (version / top).rglob("*")]
    paths = [str(path.relative_to(version)) for path in found if path.is_file()]
    plugins = plugin_paths(paths, read=lambda path: (version / path).read_bytes())
    return [version / path for path in plugins]


def _digest(version: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(version)}\0{content}\n".encode())
    return digest.hexdigest()[:16]
