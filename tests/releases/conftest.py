from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import new_sign_in_key


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    settings.RUNTIME_FOLDER = str(tmp_path / "runtime-feed")
    settings.RUNTIME_NETWORKS = ("127.0.0.0/8",)
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
