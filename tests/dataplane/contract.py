"""What every data plane must do alike. A class of tests inherits it and has a fixture `plane`."""

from dataclasses import replace

import pytest

from apps.dataplane.airflow_answers.import_errors import read_import_errors
from apps.dataplane.base import DataPlane
from apps.dataplane.errors import Permanent
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import ImportErrors
from tests.dataplane.specs import DEFAULT_QUEUE, make_spec
from tests.dataplane.world import eventually, settle

# A file of a dags folder that Airflow cannot import, and the line that is to blame. Files without
# the words "airflow" and "dag" are not even tried.
BROKEN = {"etl/broken.py": "from airflow.sdk import dag\n\nimport nothing_like_it\n"}
BROKEN_LINE = 3


def assert_a_broken_dag_is_told(plane: DataPlane, spec: DeploymentSpec) -> None:
    """Wait until Airflow has met `BROKEN`, and check that file, line and traceback are told."""

    def told() -> ImportErrors | None:
        found = read_import_errors(plane, spec=spec)
        return found if found is not None and found.failures else None

    found = eventually(told, seconds=300)
    assert found is not None
    (failure,) = found.failures
    assert found.count == 1
    assert failure.file.endswith("etl/broken.py")
    assert failure.line == BROKEN_LINE
    assert failure.message == "ModuleNotFoundError: No module named 'nothing_like_it'"
    assert failure.traceback.startswith("Traceback ")
    assert failure.at is not None


class PlaneContract:
    def test_it_says_whether_it_is_usable(self, plane: DataPlane) -> None:
        check = plane.check()

        assert check.is_usable
        assert check.findings

    def test_a_deployment_lives_changes_and_leaves_nothing(self, plane: DataPlane) -> None:
        spec = make_spec("long-life")

        progress = settle(lambda: plane.apply(spec=spec))
        created = plane.observe(ref=spec.ref)

        assert all(step.state in ("done", "skipped") for step in progress.steps)
        assert created.exists
        assert created.health == "healthy"
        assert created.applied_revision == 1
        assert created.ui_url.endswith(f"/{spec.ref}/")
        assert {"api-server", "scheduler", "dag-processor", "worker default"} <= set(
            plane.components(ref=spec.ref)
        )
        assert [queue.name for queue in created.queues] == ["default"]

        again = plane.apply(spec=spec)

        assert again.is_done

        wider = make_spec(
            "long-life",
            revision=2,
            queues=(DEFAULT_QUEUE, replace(DEFAULT_QUEUE, name="heavy")),
        )
        settle(lambda: plane.apply(spec=wider))
        changed = plane.observe(ref=spec.ref)

        assert changed.applied_revision == 2
        assert [queue.name for queue in changed.queues] == ["default", "heavy"]

        settle(lambda: plane.delete(ref=spec.ref))
        gone = plane.observe(ref=spec.ref)

        assert not gone.exists
        assert gone.health == "stopped"
        assert plane.components(ref=spec.ref) == ()

    def test_what_never_was_can_be_deleted(self, plane: DataPlane) -> None:
        progress = settle(lambda: plane.delete(ref="never-was"))

        assert progress.is_done
        assert not plane.observe(ref="never-was").exists

    def test_it_refuses_what_it_cannot_run(self, plane: DataPlane) -> None:
        if isinstance(plane, FakePlane):
            plane.store.fail("apply", Permanent("Not here."))

        with pytest.raises(Permanent) as raised:
            plane.apply(spec=make_spec("odd-one", executor="kubernetes", queues=()))

        assert raised.value.message.endswith(".")
