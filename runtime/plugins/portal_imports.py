"""Let the triggerer import modules that lie beside the DAGs: trigger classes, and what they import.

Airflow adds a version of the code to the path where it reads DAG files and where it runs tasks, not
in the triggerer, which is one process for the triggers of all runs. It uses the current version:
when that changes, triggers that begin from then on are new, and those that wait go on as they are.

Scheduler and api-server are left out on purpose. They hold what users of Airflow are recognized by,
and nothing that a DAG file brings along runs in them.
"""

import importlib
import json
import logging
import os
import sys
import zipfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import portal_code

BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
RUNNER = "airflow.jobs.triggerer_job_runner"

log = logging.getLogger(__name__)


class CodeFinder(MetaPathFinder):
    """Finds top-level modules of the current version, after everything that is installed."""

    def __init__(
        self,
        *,
        code_folder: str,
        example_folder: str,
        slots_folder: str = "",
        state_folder: str = "",
    ) -> None:
        self._code_folder = Path(code_folder)
        self._example_folder = Path(example_folder)
        self._slots_folder = Path(slots_folder) if slots_folder else None
        self._pointer = Path(state_folder or code_folder) / "current"
        self._version = ""
        self._packed: dict[Path, list[str]] = {}
        self._found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None:
            return None
        folder = self._folder()
        places = [*portal_code.import_folders(folder), *self._packed_dags(folder)]
        spec = PathFinder.find_spec(fullname, places)
        if spec is not None:
            self._found.add(fullname)
            _renew_triggers(self)
        return spec

    def forget_old(self) -> bool:
        """Forget modules of an older version; return whether there were any."""
        before = self._version
        self._folder()
        if self._version == before or not self._found:
            return False
        for name in [*sys.modules]:
            if name.partition(".")[0] in self._found:
                del sys.modules[name]
        self._found.clear()
        importlib.invalidate_caches()
        log.info("New triggers use the code %s.", self._version)
        return True

    def _packed_dags(self, folder: Path) -> list[str]:
        """Return the packed DAGs of a version, whose modules Airflow finds in each of them."""
        if folder not in self._packed:
            found = sorted(portal_code.dags_folder(folder).rglob("*.zip"))
            self._packed = {folder: [str(one) for one in found]}
        return self._packed[folder]

    def _folder(self) -> Path:
        self._version = self._current()
        if self._version == portal_code.EXAMPLES:
            return self._example_folder
        return self._code_folder / self._version

    def _current(self) -> str:
        if self._slots_folder is not None:
            try:
                return portal_code.unpack_slots(self._slots_folder, self._code_folder)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                log.warning("New code is not used yet: %s", error)
                return self._version or portal_code.EXAMPLES
        return portal_code.read_current(self._pointer)


def install() -> None:
    """Add the finder, as the variable that configures the bundle says where code is."""
    [bundle] = json.loads(os.environ.get(BUNDLES) or "[{}]")
    if bundle.get("kwargs") and not any(isinstance(one, CodeFinder) for one in sys.meta_path):
        sys.meta_path.append(CodeFinder(**bundle["kwargs"]))


def _renew_triggers(finder: CodeFinder) -> None:
    """Make the triggerer look for new code before it takes a trigger class from its cache."""
    runner = getattr(sys.modules.get(RUNNER), "TriggerRunner", None)
    if runner is None or hasattr(runner.get_trigger_by_classpath, "is_of_portal"):
        return
    cached = runner.get_trigger_by_classpath

    def get_trigger_by_classpath(self: Any, classpath: str) -> Any:
        if finder.forget_old():
            self.trigger_cache.clear()
        return cached(self, classpath)

    get_trigger_by_classpath.is_of_portal = True  # type: ignore[attr-defined]
    runner.get_trigger_by_classpath = get_trigger_by_classpath
