"""The DAG bundle of a Deployment: immutable versions of code in folders, and a pointer to the
current one.

Runs inside Airflow (dag-processor, workers, and the scheduler of LocalExecutor). A DAG run keeps
the version it began with, because Airflow asks for the bundle with that version; new runs take the
current one.
"""

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles import base
from airflow.dag_processing.bundles.base import BaseDagBundle

EXAMPLES = "examples"


class PortalDagBundle(BaseDagBundle):
    """Serve `code_folder/<version>`, or the example DAGs until something was deployed.

    `code_folder/current` holds the name of the current version. The data plane replaces that file
    as one step after the folder is complete, so nobody ever sees half a version.
    """

    supports_versioning = True

    def __init__(self, *, code_folder: str, example_folder: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._code_folder = Path(code_folder)
        self._example_folder = Path(example_folder)
        self._current = self._read_current()

    @property
    def path(self) -> Path:
        version = self.version or self._current
        if version == EXAMPLES:
            return self._example_folder
        return self._code_folder / version

    def refresh(self) -> None:
        # A bundle asked for with a version stays at that version.
        if self.version is None:
            self._current = self._read_current()

    def get_current_version(self) -> Any:
        version = self.version or self._current
        # Airflow 3.3 wants an object and warns about a string; 3.2 knows only the string.
        make = getattr(base, "BundleVersion", None)
        return make(version=version) if make else version

    def view_url(self, version: str | None = None) -> str | None:
        return None

    def _read_current(self) -> str:
        try:
            return (self._code_folder / "current").read_text().strip() or EXAMPLES
        except FileNotFoundError:
            return EXAMPLES
