"""The contract of data planes on the fake one; `test_local_airflow.py` has it on real Airflow."""

import pytest

from apps.dataplane.fake.plane import FakePlane
from tests.dataplane.contract import BROKEN_LINE, PlaneContract, assert_a_broken_dag_is_told
from tests.dataplane.specs import make_spec
from tests.dataplane.test_import_errors import row
from tests.dataplane.world import settle


class TestFakePlane(PlaneContract):
    @pytest.fixture
    def plane(self) -> FakePlane:
        FakePlane.store.reset()
        return FakePlane()

    def test_a_dag_that_cannot_be_imported_is_told(self, plane: FakePlane) -> None:
        spec = make_spec("broken")
        settle(lambda: plane.apply(spec=spec))
        text = f"""Traceback (most recent call last):
  File "/dags/etl/broken.py", line {BROKEN_LINE}, in <module>
    import nothing_like_it
ModuleNotFoundError: No module named 'nothing_like_it'
"""
        told = row(filename="etl/broken.py", stack_trace=text)
        plane.store.airflows[spec.ref].import_errors.append(told)

        assert_a_broken_dag_is_told(plane, spec)
        assert plane.observe(ref=spec.ref).import_errors == 1
