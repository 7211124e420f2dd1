"""What the portal made in a namespace, kept there: a ConfigMap that every pass reads and writes.

It lists more than there is rather than less: an object is in it before it is made and until it is
gone. A pass that dies between two requests so leaves nothing behind that nobody knows of.
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
# Made once and never changed: whatever becomes of it is nobody's drift.
_UNMARKED = "/PersistentVolumeClaim"
# Others write to these all the time; of ours there are the labels and annotations.
_BUSY = ("/ResourceQuota", "/Namespace")
_WORKLOADS = ("apps/Deployment", "apps/StatefulSet")
# Marks of Jobs: what is left of one that ended does not matter any more.
COMPLETED, FAILED = "completed", "failed"
KEPT_WHEN_UNWANTED = (NAMESPACE, CLAIM)


@dataclass(frozen=True)
class Entry:
    """One object: the hash of what was rendered, and the uid and mark it had after our apply.

    The mark moves when somebody changes the object: its generation where it has one that means
    that, with a digest of the labels and annotations that are ours, else its resource version. An
    empty uid is an object that was about to be made.
    """

    hash: str = ""
    uid: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Inventory:
    """`revision` is the last that was applied to the end, `wanted` the last that was begun."""

    revision: int = 0
    wanted: int = 0
    code_digest: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    exists: bool = False

    def announcing(self, ids: Iterable[str], *, wanted: int) -> "Inventory":
        """Return it with all of `ids` in it, known or about to be made."""
        entries = {one: Entry() for one in ids} | dict(self.entries)
        return replace(self, entries=entries, wanted=wanted)


def inventory_in(config_map: Manifest | None) -> Inventory:
    """Read an inventory; one that somebody spoilt is empty, and everything is applied again."""
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
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Inventory(exists=True)


def manifest_of(inventory: Inventory, *, namespace: str, labels: Mapping[str, str]) -> Manifest:
    """Write an inventory as a ConfigMap."""
    data: dict[str, Any] = {
        "revision": inventory.revision,
        "wanted": inventory.wanted,
        "code_digest": inventory.code_digest,
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
    """Return the entry of an object as it is after our apply of `manifest`."""
    mark = mark_of(live)
    if "replicas" not in manifest.get("spec", {}):
        # An autoscaler rules their number: whatever it is, it is nobody's drift.
        mark = mark.partition(".")[0]
    return Entry(hash=hash, uid=live["metadata"].get("uid", ""), mark=mark)


def mark_of(live: Manifest) -> str:
    """Return what moves when somebody changes the object, empty where too much else moves it.

    No generation moves with labels and annotations: those of ours count apart. Of workloads it is
    their spec and the number of their replicas. An object that was slimmed brings its mark along.
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
    if key in _BUSY:
        return f"l{hash_of(_ours(metadata))}"
    generation = metadata.get("generation")
    if generation:
        return f"g{generation}-{hash_of(_ours(metadata))}"
    return f"v{metadata.get('resourceVersion', '')}"


def _ours(metadata: Manifest) -> list[dict[str, str]]:
    """Return the labels and annotations that are the portal's to set; no others are drift."""
    return [
        {key: value for key, value in (metadata.get(part) or {}).items() if key in OUR_KEYS}
        for part in ("labels", "annotations")
    ]


def has_moved(entry: Entry, live: Manifest) -> bool:
    """Say whether somebody touched an object since our apply."""
    if entry.mark in ("", COMPLETED, FAILED):
        return False
    mark = mark_of(live)
    return entry.mark != (mark if "." in entry.mark else mark.partition(".")[0])


def unwanted(inventory: Inventory, rendered: Iterable[Manifest]) -> dict[str, Entry]:
    """Return what was made and is no longer rendered, less what only a deletion may take."""
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
