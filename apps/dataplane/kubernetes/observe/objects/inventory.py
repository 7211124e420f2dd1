"""The inventory of a namespace: a ConfigMap of what the portal applied, which every pass reads and
writes.

It may list more than exists, never less: an object is in it before it is created and until it is
gone. So a pass that dies between two requests leaves no untracked objects.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import orjson

from apps.dataplane.kubernetes.api.kinds import (
    CLAIM,
    CONFIG_MAP,
    NAMESPACE,
    Manifest,
    object_id,
    split_id,
)
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, INVENTORY, OUR_KEYS

KEY = "inventory.json"
# Created once and never changed: its changes are no drift.
_UNMARKED = "/PersistentVolumeClaim"
# Controllers write to their status continuously, and they have no generation.
_QUOTA, _NAMESPACE = "/ResourceQuota", "/Namespace"
_WORKLOADS = ("apps/Deployment", "apps/StatefulSet")
# Marks of Jobs: whether an ended one is still there does not matter.
COMPLETED, FAILED = "completed", "failed"
# The mark of an object in which others' additions were left: it has moved, whatever it is.
FOREIGN = "foreign"
KEPT_WHEN_UNWANTED = (NAMESPACE, CLAIM)


@dataclass(frozen=True)
class Entry:
    """One object: the hash of what was rendered, and the uid and mark it had after our apply.

    The mark moves when the object is changed: it is the generation where that reflects changes,
    with a digest of our labels and annotations, else the resource version. An empty uid is an
    object that was about to be created.
    """

    hash: str = ""
    uid: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Inventory:
    """`revision` is the last that was applied to the end, `wanted` the last that was begun.
    `restoring` and `restored` are the keys of wishes for a restore: begun, and fulfilled last.
    """

    revision: int = 0
    wanted: int = 0
    code_digest: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    exists: bool = False
    restoring: str = ""
    restored: str = ""

    def announcing(self, ids: Iterable[str], *, wanted: int) -> "Inventory":
        """Return a copy that has all of `ids`, known or about to be created."""
        entries = {one: Entry() for one in ids} | dict(self.entries)
        return replace(self, entries=entries, wanted=wanted)


def inventory_in(config_map: Manifest | None) -> Inventory:
    """Read an inventory; an unreadable one counts as empty, so that everything is applied again."""
    if config_map is None:
        return Inventory()
    try:
        data = orjson.loads((config_map.get("data") or {}).get(KEY, "{}"))
        entries = {
            str(one): Entry(hash=str(e["hash"]), uid=str(e["uid"]), mark=str(e["mark"]))
            for one, e in data.get("entries", {}).items()
            if _is_known(str(one))
        }
        return Inventory(
            revision=int(data.get("revision", 0)),
            wanted=int(data.get("wanted", 0)),
            code_digest=str(data.get("code_digest", ""))[:64],
            entries=entries,
            exists=True,
            restoring=str(data.get("restoring", ""))[:64],
            restored=str(data.get("restored", ""))[:64],
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Inventory(exists=True)


def manifest_of(inventory: Inventory, *, namespace: str, labels: Mapping[str, str]) -> Manifest:
    """Write an inventory as a ConfigMap."""
    data: dict[str, Any] = {
        "revision": inventory.revision,
        "wanted": inventory.wanted,
        "code_digest": inventory.code_digest,
        "restoring": inventory.restoring,
        "restored": inventory.restored,
        "entries": {
            one: {"hash": e.hash, "uid": e.uid, "mark": e.mark}
            for one, e in sorted(inventory.entries.items())
        },
    }
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.name,
        "metadata": {
            "name": INVENTORY,
            "namespace": namespace,
            "labels": {**labels, COMPONENT_LABEL: "inventory"},
        },
        "data": {KEY: orjson.dumps(data).decode()},
    }


def hash_of(value: object) -> str:
    """Return the digest of a rendered manifest, or of a part of a live one."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return sha256(text).hexdigest()[:32]


def entry_of(live: Manifest, *, manifest: Manifest, hash: str) -> Entry:
    """Return the entry of an object after our apply of `manifest`."""
    mark = mark_of(live)
    if "replicas" not in manifest.get("spec", {}):
        # An autoscaler sets their number, so it is no drift.
        mark = mark.partition(".")[0]
    return Entry(hash=hash, uid=live["metadata"].get("uid", ""), mark=mark)


def mark_of(live: Manifest) -> str:
    """Return the mark that moves when the object is changed, empty where too much else moves it.

    Labels and annotations move no generation, so ours are added. Of workloads it is the spec and
    the number of replicas. A snapshot carries its mark along.
    """
    metadata = live["metadata"]
    if "mark" in metadata:
        return str(metadata["mark"])
    key = f"{live['apiVersion'].rpartition('/')[0]}/{live['kind']}"
    if key == _UNMARKED:
        return ""
    if key in _WORKLOADS:
        spec = {k: v for k, v in (live.get("spec") or {}).items() if k != "replicas"}
        digest = hash_of([spec, _ours(metadata)])
        return f"h{digest}.{(live.get('spec') or {}).get('replicas', 1)}"
    if key == _QUOTA:
        return f"q{hash_of([live.get('spec') or {}, _ours(metadata)])}"
    if key == _NAMESPACE:
        return f"l{hash_of(_ours(metadata))}"
    generation = metadata.get("generation")
    if generation:
        return f"g{generation}-{hash_of(_ours(metadata))}"
    return f"v{metadata.get('resourceVersion', '')}"


def _ours(metadata: Manifest) -> list[dict[str, str]]:
    """Return the labels and annotations that the portal sets; changes of others are no drift."""
    return [
        {key: value for key, value in (metadata.get(part) or {}).items() if key in OUR_KEYS}
        for part in ("labels", "annotations")
    ]


def has_moved(entry: Entry, live: Manifest) -> bool:
    """Return whether an object was changed since our apply."""
    if entry.mark in ("", COMPLETED, FAILED):
        return False
    mark = mark_of(live)
    return entry.mark != (mark if "." in entry.mark else mark.partition(".")[0])


def unwanted(inventory: Inventory, rendered: Iterable[Manifest]) -> dict[str, Entry]:
    """Return what was applied and is no longer rendered, except what only a deletion may remove."""
    wanted = {object_id(manifest) for manifest in rendered}
    return {
        one: entry
        for one, entry in inventory.entries.items()
        if one not in wanted and split_id(one)[0] not in KEPT_WHEN_UNWANTED
    }


def _is_known(one: str) -> bool:
    try:
        split_id(one)
    except KeyError:
        return False
    return True
