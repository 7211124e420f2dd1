from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import new_sign_in_key


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    """A folder of backups for each test, and the key that specifications need."""
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    storage = settings.STORAGES["backups"]
    options = {**storage["OPTIONS"], "location": tmp_path / "backups"}
    settings.STORAGES = {**settings.STORAGES, "backups": {**storage, "OPTIONS": options}}
    return tmp_path / "backups"
