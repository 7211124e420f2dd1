"""The contract of data planes on the fake one; `test_local_airflow.py` has it on real Airflow."""

import pytest

from apps.dataplane.fake.plane import FakePlane
from tests.dataplane.contract import PlaneContract


class TestFakePlane(PlaneContract):
    @pytest.fixture
    def plane(self) -> FakePlane:
        FakePlane.store.reset()
        return FakePlane()
