"""The watches of one cluster: a thread for each kind of object, all into one `WatchCache`.

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
from apps.dataplane.kubernetes.api.kinds import Kind, Manifest
from apps.dataplane.kubernetes.api.watches import Watch
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.observe.objects.snapshots import WATCHED, selection
from apps.dataplane.kubernetes.observe.watch_cache import WatchCache

logger = logging.getLogger(__name__)

# After how long a watch ends, and how much later at most it is considered dead: within a minute.
WATCH_SECONDS, SILENCE_SECONDS = (30, 40), 10
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# LISTs of large clusters are the one thing here that takes memory: one at a time, in small pages.
PAGE = 100
_lists = threading.Lock()


class ClusterWatch:
    """Watches until `stop`. `last_error` is why the cluster was unreachable last, if it was."""

    def __init__(self, config: ClusterConfig) -> None:
        self.cache = WatchCache(config, clock=time.monotonic)
        self.last_error: Unreachable | None = None
        self._api = Api(config.connection)
        self._portal_id = config.portal_id
        self._stopping = threading.Event()
        self._open: dict[str, Watch] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=[kind], daemon=True) for kind in WATCHED
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Close all watches and return at once; the threads end when they notice."""
        self._stopping.set()
        for watch in list(self._open.values()):
            watch.close()

    def _follow(self, kind: Kind) -> None:
        failures, asked = 0, 0.0
        while not self._stopping.is_set():
            try:
                version = self._list(kind)
                failures, asked, self.last_error = 0, 0.0, None
                while not self._stopping.is_set():
                    version = self._watch(kind, version)
            except Gone:
                logger.info("watch too old", extra={"kind": kind.name})
            except DataPlaneError as error:
                failures += 1
                asked = getattr(error, "retry_after_seconds", None) or 0.0
                self._note(kind, error)
            except Exception:
                failures += 1
                logger.exception("watch failed", extra={"kind": kind.name})
            self.cache.is_cut(kind)
            self._stopping.wait(max(asked, pause_seconds(failures)))

    def _list(self, kind: Kind) -> str:
        """Read all objects of a kind and return the version that a watch continues from."""
        versions: list[str] = []

        def items() -> Iterator[Manifest]:
            chosen = selection(kind, portal_id=self._portal_id)
            labels, fields = chosen.get("labels", ""), chosen.get("fields", "")
            for page in self._api.pages(
                kind, labels=labels, fields=fields, may_be_unknown=True, size=PAGE
            ):
                versions.append(page.resource_version)
                yield from page.items

        with _lists:
            self.cache.replace(kind, items())
        return versions[-1] if versions else ""

    def _watch(self, kind: Kind, version: str) -> str:
        """Take events until the server ends the watch; return the version it came to."""
        if not version:
            # The cluster does not know this kind; it may be installed later.
            self._stopping.wait(LONGEST_PAUSE_SECONDS)
            raise Gone("The kind may be known by now.")
        chosen = selection(kind, portal_id=self._portal_id)
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load
        with self._api.watch(
            kind,
            resource_version=version,
            labels=chosen.get("labels", ""),
            fields=chosen.get("fields", ""),
            seconds=seconds,
            silence_seconds=seconds + SILENCE_SECONDS,
        ) as watch:
            self._open[kind.name] = watch
            try:
                for event in watch.events():
                    version = event["object"]["metadata"]["resourceVersion"]
                    self.cache.take(kind, event)
            finally:
                self._open.pop(kind.name, None)
        return version

    def _note(self, kind: Kind, error: DataPlaneError) -> None:
        if self._stopping.is_set():
            return
        if isinstance(error, Unreachable):
            self.last_error = error
        logger.info("watch cut", extra={"kind": kind.name, "why": error.message})


def pause_seconds(failures: int) -> float:
    """Return how long to wait before the next LIST, at random so that watches do not march."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
