"""The watches of one cluster: a thread for each kind of object, all into one `WatchCache`.

Where namespaces are named it is a thread for each kind in each namespace that a Deployment took,
and the namespace itself is read now and then: no right in a namespace allows to watch it.

    LIST ──▶ watch ──ends by itself──▶ watch from where it ended
      ▲        └──── 410, silence, cut ──▶ pause ──▶ LIST
      └──────────────────────────────────────┘

A watch ends by itself after less than a minute, and one that does not is considered dead. So a
silent stream is noticed although its connection is still open.
"""

import logging
import random
import threading
import time
from collections.abc import Iterator

from apps.dataplane.errors import DataPlaneError, Unreachable
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Gone
from apps.dataplane.kubernetes.api.kinds import NAMESPACE, Kind, Manifest
from apps.dataplane.kubernetes.api.watches import Watch
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe.objects.live_objects import is_ours
from apps.dataplane.kubernetes.observe.objects.snapshots import WATCHED, ref_of, selection
from apps.dataplane.kubernetes.observe.watch_cache import WatchCache

logger = logging.getLogger(__name__)

# After how long a watch ends, and how much later at most it is considered dead: within a minute.
WATCH_SECONDS, SILENCE_SECONDS = (30, 40), 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# How long a cluster that was unreachable is asked by no other of its watches.
UNREACHABLE_SECONDS = 5.0
# How often a named namespace is read, which cannot be watched.
NAMESPACE_SECONDS = (8.0, 12.0)
# LISTs of large clusters are the one thing here that takes memory: one at a time, in small pages.
PAGE = 100
_lists = threading.Lock()


class ClusterWatch:
    """Watches until `stop`. `last_error` is why the cluster was unreachable last, if it was, and
    `homes` how many named namespaces are watched.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.cache = WatchCache(config, clock=time.monotonic)
        self.last_error: Unreachable | None = None
        self._api = Api(config.connection)
        self._portal_id = config.portal_id
        self.homes = len(config.connection.homes) if config.connection.namespaces else 0
        self._stopping = threading.Event()
        self._unreachable_until = 0.0
        self._open: dict[tuple[str, str], Watch] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=[kind, scope], daemon=True)
            for scope in config.connection.scopes
            for kind in WATCHED
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close all watches and return at once; the threads end when they notice."""
        self._stopping.set()
        for watch in list(self._open.values()):
            watch.close()

    def _follow(self, kind: Kind, scope: str) -> None:
        failures, asked = 0, 0.0
        while not self._stopping.is_set():
            try:
                version = self._list(kind, scope)
                failures, asked, self.last_error = 0, 0.0, None
                while not self._stopping.is_set():
                    version = self._watch(kind, scope, version)
            except Gone:
                logger.info("watch too old", extra={"kind": kind.name})
            except DataPlaneError as error:
                failures += 1
                asked = getattr(error, "retry_after_seconds", None) or 0.0
                self._note(kind, error)
            except Exception:
                failures += 1
                logger.exception("watch failed", extra={"kind": kind.name})
            self.cache.is_cut(kind, scope=scope)
            self._stopping.wait(max(asked, pause_seconds(failures)))

    def _list(self, kind: Kind, scope: str) -> str:
        """Read all objects of a kind and return the version that a watch continues from."""
        if scope and kind == NAMESPACE:
            return self._read(scope)
        versions: list[str] = []

        def items() -> Iterator[Manifest]:
            chosen = selection(kind, portal_id=self._portal_id)
            labels, fields = chosen.get("labels", ""), chosen.get("fields", "")
            pages = self._api.pages(
                kind,
                namespace=scope,
                labels=labels,
                fields=fields,
                may_be_unknown=True,
                may_be_forbidden=True,
                size=PAGE,
            )
            for page in pages:
                versions.append(page.resource_version)
                yield from page.items

        with _lists:
            self._require_reachable()
            self.cache.replace(kind, items(), scope=scope)
        return versions[-1] if versions else ""

    def _require_reachable(self) -> None:
        """Raise what another watch of the cluster has just found, so that the clusters behind wait
        for one of them only.
        """
        error = self.last_error
        if error is not None and time.monotonic() < self._unreachable_until:
            raise error

    def _read(self, home: str) -> str:
        """Read a named namespace, which counts as there while a Deployment has marked it."""
        with _lists:
            self._require_reachable()
            found = self._api.find(NAMESPACE, home)
        is_taken = found and is_ours(found, portal_id=self._portal_id, ref=ref_of(found))
        self.cache.replace(NAMESPACE, [found] if found and is_taken else [], scope=home)
        return "read"

    def _watch(self, kind: Kind, scope: str, version: str) -> str:
        """Take events until the server ends the watch; return the version it came to."""
        if scope and kind == NAMESPACE:
            self._stopping.wait(random.uniform(*NAMESPACE_SECONDS))  # noqa: S311 - spreads load
            return self._read(scope)
        if not version:
            # The cluster does not know this kind; it may be installed later.
            self._stopping.wait(LONGEST_PAUSE_SECONDS)
            raise Gone("The kind may be known by now.")
        chosen = selection(kind, portal_id=self._portal_id)
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load
        with self._api.watch(
            kind,
            resource_version=version,
            namespace=scope,
            labels=chosen.get("labels", ""),
            fields=chosen.get("fields", ""),
            seconds=seconds,
            silence_seconds=seconds + SILENCE_SECONDS,
        ) as watch:
            self._open[kind.name, scope] = watch
            try:
                for event in watch.events():
                    version = event["object"]["metadata"]["resourceVersion"]
                    self.cache.take(kind, event)
            finally:
                self._open.pop((kind.name, scope), None)
        return version

    def _note(self, kind: Kind, error: DataPlaneError) -> None:
        if self._stopping.is_set():
            return
        if isinstance(error, Unreachable) and error is not self.last_error:
            self.last_error = error
            self._unreachable_until = time.monotonic() + UNREACHABLE_SECONDS
        logger.info("watch cut", extra={"kind": kind.name, "why": error.message})


def pause_seconds(failures: int) -> float:
    """Return how long to wait before the next LIST, at random so that watches do not march."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
