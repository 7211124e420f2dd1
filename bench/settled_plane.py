"""A data plane on which every Deployment is settled, in every process."""

from datetime import UTC, datetime

from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import ComponentStatus, Observation

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


class SettledPlane(FakePlane):
    """It answers at once that revision 1 is applied and healthy."""

    def observe(self, *, ref: str) -> Observation:
        return Observation(
            observed_at=datetime.now(UTC),
            exists=True,
            applied_revision=1,
            health="healthy",
            message="Airflow is healthy.",
            components=tuple(
                ComponentStatus(name=name, state="running", ready=1, wanted=1)
                for name in COMPONENTS
            ),
            ui_url=f"http://airflow.invalid/{ref}/",
            api_url=f"http://airflow.invalid/{ref}/api/v2",
        )
