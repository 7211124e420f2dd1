"""A Kubernetes plane for measurements of the queue: living clusters answer soon, dead ones never.

Which clusters are dead, and which revision is applied, is stored in the broker, which every process
can read. A dead one costs what a black hole costs the real plane: the time to connect.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import redis
from django.conf import settings

from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Observation, Progress

DEAD, APPLIED, MET = "bench:dead", "bench:applied", "bench:met"
CONNECT_SECONDS, PROBE_SECONDS, PASS_SECONDS = 3.0, 2.0, 0.05


class ClusterPlane(FakePlane):
    def __init__(self, config: ClusterConfig) -> None:
        self._server = config.connection.server
        self._kept = redis.Redis.from_url(settings.REDIS_URL)

    def reach(self) -> None:
        if self._kept.sismember(DEAD, self._server):
            time.sleep(PROBE_SECONDS)
            raise Unreachable("The cluster does not take connections.")

    def apply(self, *, spec: DeploymentSpec) -> Progress:
        self._answer(CONNECT_SECONDS)
        time.sleep(PASS_SECONDS)
        self._kept.hset(APPLIED, spec.ref, spec.revision)
        return Progress(steps=(), is_done=True)

    def observe(self, *, ref: str) -> Observation:
        self._answer(CONNECT_SECONDS)
        return self._seen(ref)

    def survey(self) -> Iterator[tuple[str, Observation]]:
        self._answer(CONNECT_SECONDS)
        for ref in self._kept.smembers(self._server):
            yield ref.decode(), self._seen(ref.decode())

    def _seen(self, ref: str) -> Observation:
        return Observation(
            observed_at=datetime.now(UTC),
            exists=True,
            applied_revision=int(self._kept.hget(APPLIED, ref) or 1),
            health="healthy",
            message="Airflow is healthy.",
        )

    def _answer(self, seconds: float) -> None:
        if self._kept.sismember(DEAD, self._server):
            self._kept.incr(MET)
            time.sleep(seconds)
            raise Unreachable("The cluster does not take connections.")
