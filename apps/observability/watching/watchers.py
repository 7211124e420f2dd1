"""The watcher process: which clusters it watches, and what it records about them.

Every cluster is watched by one process at a time, which holds a lease for it; several processes
share the clusters among themselves, and when one dies the others take over its clusters. One thread
here talks to the database; the threads of `cluster_watch` talk to the clusters.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import Error, close_old_connections, connection
from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.clusters.connections.planes import config_for
from apps.clusters.models import Cluster
from apps.core.heartbeat import beat
from apps.dataplane.errors import Permanent
from apps.dataplane.status import Observation
from apps.deployments.models import ClusterLease, Deployment, Phase
from apps.deployments.reconciling import breaker, cluster_leases, surveys
from apps.observability.watching.cluster_watch import ClusterWatch

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
# How often to see which clusters there are, and how often to write what was seen.
ROUND_SECONDS, WRITE_SECONDS = 5.0, 0.25
# Named namespaces that are watched, of a cluster and of all in this process. What is in others is
# seen by surveys.
MOST_HOMES, MOST_HOMES_OF_ALL = 16, 128


@dataclass
class _Watching:
    """A cluster that is watched here. `version` is that of the connection in use."""

    cluster: Cluster
    version: int
    token: uuid.UUID
    watch: ClusterWatch


class Watchers:
    """Watches of all clusters of a shard (`index` of `count`), until it is stopped."""

    def __init__(self, *, index: int = 0, count: int = 1) -> None:
        self._index, self._count = index, count
        self._watching: dict[int, _Watching] = {}
        self._next_round_at = self._next_beat_at = 0.0

    def run(self, *, stop: threading.Event) -> None:
        """Watch until `stop` is set. A database that is away is waited for."""
        while not stop.wait(WRITE_SECONDS):
            if time.monotonic() >= self._next_beat_at:
                beat()
                self._next_beat_at = time.monotonic() + ROUND_SECONDS
            try:
                self._step()
            except Error:
                logger.warning("the database does not answer the watchers", exc_info=True)
                connection.close()
                for watching in self._watching.values():
                    watching.watch.cache.report_again()
                stop.wait(ROUND_SECONDS)
        self._leave()

    def _step(self) -> None:
        if time.monotonic() >= self._next_round_at:
            close_old_connections()
            self._go_round()
            self._next_round_at = time.monotonic() + ROUND_SECONDS
        for watching in self._watching.values():
            observations = watching.watch.cache.observations(now=timezone.now())
            self.write(watching.cluster.pk, observations)

    def write(
        self, cluster_id: int, observations: Iterator[tuple[str, Observation, float]]
    ) -> None:
        """Record what changed on a cluster."""
        surveys.record_observations(
            cluster_id=cluster_id, observations=((ref, look) for ref, look, _ in observations)
        )

    def _go_round(self) -> None:
        wanted = {cluster.pk: cluster for cluster in self._wanted()}
        held = cluster_leases.renew(
            tokens=[one.token for one in self._watching.values()], seconds=LEASE_SECONDS
        )
        for pk, watching in list(self._watching.items()):
            cluster = wanted.get(pk)
            is_current = cluster is not None and cluster.connection_version == watching.version
            if cluster is None or not is_current or watching.token not in held:
                self._end(pk)
            else:
                watching.cluster = cluster
                _tell_breaker(watching)
        for cluster in wanted.values():
            if cluster.pk not in self._watching and self._has_room(cluster):
                self._begin(cluster)

    def _wanted(self) -> list[Cluster]:
        used = Deployment.objects.filter(cluster=OuterRef("pk")).exclude(phase=Phase.DELETED)
        found = Cluster.objects.there().filter(
            Exists(used), kind=Cluster.Kind.KUBERNETES, blind_until=None
        )
        return [one for one in found if one.shard % self._count == self._index]

    def _has_room(self, cluster: Cluster) -> bool:
        """Return whether a cluster may be watched here: named namespaces take watches each."""
        if not cluster.namespaces:
            return True
        homes = len(cluster.homes())
        watched = sum(one.watch.homes for one in self._watching.values())
        return homes <= MOST_HOMES and watched + homes <= MOST_HOMES_OF_ALL

    def _begin(self, cluster: Cluster) -> None:
        token = cluster_leases.hold(
            cluster_id=cluster.pk, purpose=ClusterLease.Purpose.WATCH, seconds=LEASE_SECONDS
        )
        if token is None:
            return
        try:
            watch = ClusterWatch(config_for(cluster))
        except Permanent as error:
            logger.warning(
                "cluster not watched", extra={"cluster": cluster.pk, "why": error.message}
            )
            return
        logger.info("cluster watched", extra={"cluster": cluster.pk})
        watch.start()
        version = cluster.connection_version
        self._watching[cluster.pk] = _Watching(cluster, version, token, watch)

    def _end(self, pk: int) -> None:
        watching = self._watching.pop(pk)
        watching.watch.stop()
        cluster_leases.release(token=watching.token)
        logger.info("cluster not watched any more", extra={"cluster": pk})

    def _leave(self) -> None:
        for pk in list(self._watching):
            try:
                self._end(pk)
            except Error:
                logger.warning("lease not released", extra={"cluster": pk})
        connection.close()


def _tell_breaker(watching: _Watching) -> None:
    """Report to the breaker whether the watches reached the cluster since the last round."""
    last_error, watching.watch.last_error = watching.watch.last_error, None
    if last_error is not None and not watching.watch.cache.is_fresh:
        breaker.failed(cluster=watching.cluster, error=last_error)
    elif watching.watch.cache.is_fresh:
        breaker.answered(cluster=watching.cluster, now=timezone.now())
