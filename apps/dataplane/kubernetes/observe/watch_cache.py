"""The state of one cluster from its watches: a snapshot of each object, compressed by Deployment.

A thousand Deployments are some ten thousand objects, so the objects of a Deployment are kept as one
compressed text and unpacked only when one of them changed. No thread of its own; the lock lets one
thread per watch write while another reads.

A watch is of one kind in one scope: a named namespace, or "" for all of the cluster.
"""

import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from apps.dataplane.kubernetes.api.kinds import CONFIG_MAP, EVENT, NAMESPACE, POD, Kind, Manifest
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL
from apps.dataplane.kubernetes.observe.objects.snapshots import WATCHED, project, ref_of
from apps.dataplane.kubernetes.observe.observation import nothing, observation_of
from apps.dataplane.status import Observation

# Time alone turns a starting component into an unhealthy one.
UNSETTLED_INTERVAL_SECONDS = 15.0
# A Deployment that changes continuously is observed no more often than this.
MIN_INTERVAL_SECONDS = 1.0
MOST_EVENTS = 40
INVENTORY = "Inventory"
# Kinds whose drift the watches detect.
CHECKED_FOR_DRIFT = tuple(kind.name for kind in WATCHED if kind not in (CONFIG_MAP, POD, EVENT))
Objects = dict[str, dict[str, Manifest]]


@dataclass(slots=True)
class _Kept:
    """One Deployment. `pending` are changed objects by kind and name, None for a deleted one.
    `was_there` says that its namespace has been seen.
    """

    packed: bytes = b""
    was_there: bool = False
    pending: dict[str, dict[str, Manifest | None]] = field(default_factory=dict)
    pending_since: float = 0.0
    observed_at: float = 0.0
    observe_again_at: float = 0.0
    last_reported: bytes = b""


class WatchCache:
    """The state of one cluster. `clock` is `time.monotonic`."""

    def __init__(self, config: ClusterConfig, *, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = defaultdict(_Kept)
        self._fresh: set[tuple[str, str]] = set()
        self._scopes = config.connection.scopes
        self._refs = {home: ref for ref, home in config.connection.homes.items()}

    @property
    def is_fresh(self) -> bool:
        """Return whether all watches are open, so that observations are up to date."""
        return len(self._fresh) == len(WATCHED) * len(self._scopes)

    def replace(self, kind: Kind, items: Iterable[Manifest], *, scope: str = "") -> None:
        """Replace all objects of a kind in a scope by a LIST, as it comes in pages."""
        listed: dict[str, set[str]] = defaultdict(set)
        packing = ""
        for item in items:
            ref, name = self._ref_of(item), _name(item)
            if ref != packing and packing in self._kept:
                # A LIST comes namespace by namespace: only one needs to be unpacked at a time.
                with self._lock:
                    self._pack(self._kept[packing])
            packing = ref
            listed[ref].add(name)
            self._put(ref, kind, name, project(kind, item))
        with self._lock:
            for ref, kept in self._kept.items():
                if scope and ref != self._refs.get(scope):
                    continue
                for name in self._unpacked(kept).get(_section(kind), {}):
                    if name not in listed[ref]:
                        self._note(kept, kind, name, None)
                self._pack(kept)
        self.is_open(kind, scope=scope)

    def take(self, kind: Kind, event: Manifest) -> None:
        """Apply one event of a watch."""
        item = event["object"]
        if event["type"] == "BOOKMARK":
            return
        is_gone = event["type"] == "DELETED"
        self._put(self._ref_of(item), kind, _name(item), None if is_gone else project(kind, item))

    def is_open(self, kind: Kind, *, scope: str = "") -> None:
        """Record that a watch is open and nothing was missed."""
        with self._lock:
            self._fresh.add((kind.name, scope))

    def is_cut(self, kind: Kind, *, scope: str = "") -> None:
        """Record that a watch has ended: observations may be stale from now on."""
        with self._lock:
            self._fresh.discard((kind.name, scope))

    def report_again(self) -> None:
        """Report every observation again, because earlier reports were lost."""
        with self._lock:
            for kept in self._kept.values():
                kept.last_reported, kept.pending_since = b"", kept.pending_since or self._clock()

    def observations(self, *, now: datetime) -> Iterator[tuple[str, Observation, float]]:
        """Yield what changed: ref, observation, and since when (by the clock) it is pending."""
        if not self.is_fresh:
            return
        for ref in self._due():
            with self._lock:
                kept = self._kept[ref]
                found = self._unpacked(kept)
                self._pack(kept, found)
                pending_since, kept.pending_since, kept.observed_at = (
                    kept.pending_since,
                    0.0,
                    self._clock(),
                )
                is_there = bool(found.get(NAMESPACE.name))
                is_news = is_there or kept.was_there
                kept.was_there = is_there
                if not any(found.values()):
                    del self._kept[ref]
            if not is_news:
                # Objects may be seen before their namespace is.
                continue
            observation = self._observation(found, ref, now)
            digest = _digest(observation)
            is_unsettled = observation.health not in ("healthy", "stopped")
            kept.observe_again_at = (
                self._clock() + UNSETTLED_INTERVAL_SECONDS if is_unsettled else 0.0
            )
            if digest != kept.last_reported:
                kept.last_reported = digest
                yield ref, observation, pending_since or kept.observed_at

    def _due(self) -> list[str]:
        now = self._clock()
        with self._lock:
            return [
                ref
                for ref, kept in self._kept.items()
                if (kept.pending_since and now - kept.observed_at >= MIN_INTERVAL_SECONDS)
                or 0 < kept.observe_again_at <= now
            ]

    def _observation(self, found: Objects, ref: str, now: datetime) -> Observation:
        if not found.get(NAMESPACE.name):
            return nothing(now)
        objects = {_section(kind): list(found.get(_section(kind), {}).values()) for kind in WATCHED}
        observation = observation_of(
            objects,
            ref=ref,
            now=now,
            airflow_url=self._config.airflow_url,
            has_keda=self._config.has_keda,
        )
        return replace(observation, checked_for_drift=CHECKED_FOR_DRIFT)

    def _put(self, ref: str, kind: Kind, name: str, item: Manifest | None) -> None:
        with self._lock:
            # Events of the cluster are about many namespaces that are not ours.
            if not ref or (kind == EVENT and ref not in self._kept):
                return
            self._note(self._kept[ref], kind, name, item)

    def _ref_of(self, item: Manifest) -> str:
        """Return the ref of the Deployment that an object belongs to, "" for none. In a named
        namespace whoever took it last says so: labels may be left from the one before.
        """
        labeled = ref_of(item)
        if not self._config.connection.namespaces:
            return labeled
        metadata = item["metadata"]
        home = metadata.get("namespace") or metadata["name"]
        ref = self._refs.get(home, "")
        is_labeled = DEPLOYMENT_LABEL in (metadata.get("labels") or {})
        return ref if labeled == ref or not is_labeled else ""

    def _note(self, kept: _Kept, kind: Kind, name: str, item: Manifest | None) -> None:
        kept.pending.setdefault(_section(kind), {})[name] = item
        kept.pending_since = kept.pending_since or self._clock()

    def _unpacked(self, kept: _Kept) -> Objects:
        found: Objects = orjson.loads(zlib.decompress(kept.packed)) if kept.packed else {}
        for kind, items in kept.pending.items():
            section = found.setdefault(kind, {})
            for name, item in items.items():
                if item is None:
                    section.pop(name, None)
                else:
                    section[name] = item
            if kind == EVENT.name:
                found[kind] = dict(list(section.items())[-MOST_EVENTS:])
        return found

    def _pack(self, kept: _Kept, found: Objects | None = None) -> None:
        if kept.pending:
            text = orjson.dumps(self._unpacked(kept) if found is None else found)
            kept.packed, kept.pending = zlib.compress(text, 1), {}


def _section(kind: Kind) -> str:
    return INVENTORY if kind == CONFIG_MAP else kind.name


def _name(item: Manifest) -> str:
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _digest(observation: Observation) -> bytes:
    """Return a digest of an observation, without its time."""
    fields: Any = replace(observation, observed_at=datetime.min.replace(tzinfo=UTC))
    return blake2b(repr(fields).encode(), digest_size=16).digest()
