from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from tests.dags.conftest import new_sign_in_key


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A folder of backups for each test, and the key that specifications need."""
    settings.AIRFLOW_SIGN_IN_KEY = new_sign_in_key()
    storage = storages["backups"]
    before = storage._location
    _move(storage, str(tmp_path / "backups"))
    yield tmp_path / "backups"
    _move(storage, before)


def _move(storage: Any, location: str) -> None:
    storage._location = location
    for name in ("base_location", "location"):
        storage.__dict__.pop(name, None)
