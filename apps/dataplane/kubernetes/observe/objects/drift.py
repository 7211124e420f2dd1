"""Changes by others: which objects moved, which of our fields differ in them, and which fields
others added.

The second needs a dry-run apply, the third what the API server keeps about the managers of fields.
Labels, annotations and finalizers of others are no drift, nor are replicas that an autoscaler sets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import orjson

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import (
    CLAIM,
    CONFIG_MAP,
    NAMESPACE,
    Manifest,
    kind_of,
    object_id,
    place_in,
    split_id,
    title,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import INVENTORY
from apps.dataplane.kubernetes.observe.objects.inventory import (
    COMPLETED,
    Entry,
    Inventory,
    has_moved,
    inventory_in,
)
from apps.dataplane.kubernetes.observe.objects.live_objects import live_objects, selector
from apps.dataplane.kubernetes.observe.objects.managers import Author, added_fields, authors
from apps.dataplane.status import Drift
from apps.dataplane.untrusted import UNSAFE

MOST_FIELDS = MOST_DRIFTED = 20
MOST_CHARACTERS = 200
MISSING, ADDED = object(), object()
_LOGIN_IN_URL = re.compile(r"://[^/\s@]+@")
_SECRET = re.compile(r"secret|passw|token|credential|api[-_]?key|private|fernet", re.IGNORECASE)
_NOT_JUDGED = ("Pod", "Event", "Inventory")
# Fields of the API server and its controllers.
_IGNORED = (
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.uid",
    "metadata.selfLink",
    "status",
)
# Whatever else is set in them is set by the controller that serves them.
CREATED_ONCE = (CLAIM,)
_KEYS = ("name", "mountPath", "containerPort", "key", "port")


@dataclass(frozen=True)
class Difference:
    """The wanted and the live value of a field, and who set it, where that is known."""

    ours: Any
    theirs: Any
    author: Author | None = None


Differences = dict[str, Difference]


def moved_in(objects: Mapping[str, Sequence[Manifest]], inventory: Inventory) -> tuple[Drift, ...]:
    """Return the ids of objects that moved since they were applied; only a dry run tells the
    differing fields.

    `objects` are those of one namespace by kind, with the namespace itself. While a revision is
    being applied everything moves, and nothing is drift.
    """
    if not inventory.revision or inventory.wanted != inventory.revision:
        return ()
    home = objects["Namespace"][0]["metadata"]["name"]
    found = (items for kind, items in objects.items() if kind not in _NOT_JUDGED)
    live = {object_id(item): item for items in found for item in items}
    moved = [
        one
        for one, entry in inventory.entries.items()
        if entry.uid and _was_looked_for(one, objects, home) and _is_doubtful(entry, live.get(one))
    ]
    return tuple(Drift(object=title(one)) for one in moved[:MOST_DRIFTED])


def _was_looked_for(one: str, objects: Mapping[str, Sequence[Manifest]], home: str) -> bool:
    """Return whether an observation covers an object: not one that several Deployments share."""
    kind, name = split_id(one)
    is_shared = place_in(one, home) != home or (kind == NAMESPACE and name != home)
    return kind.name in objects and not is_shared


def drift_of(
    api: Api, manifests: Sequence[Manifest], *, portal_id: str, ref: str
) -> tuple[Drift, ...]:
    """Return which objects differ from what is rendered. Objects that did not move are skipped."""
    home = api.home(ref)
    entries = inventory_in(api.find(CONFIG_MAP, INVENTORY, namespace=home)).entries
    by_id = {object_id(manifest): manifest for manifest in manifests}
    live = live_objects(
        api, home=home, ids=list(by_id), labels=selector(portal_id=portal_id, ref=ref)
    )
    moved = [one for one in by_id if _is_doubtful(entries.get(one), live.get(one))]
    found = in_parallel(lambda one: differences(api, by_id[one]), moved)
    return tuple(
        Drift(
            object=title(one),
            fields=tuple(fields or ()),
            values=_shown_values(by_id[one]["kind"], fields or {}),
            is_gone=fields is None,
            authors={
                path: (one.author.manager, one.author.at)
                for path, one in (fields or {}).items()
                if one.author
            },
        )
        for one, fields in zip(moved, found, strict=True)
        if fields is None or fields
    )


def _is_doubtful(entry: Entry | None, live: Manifest | None) -> bool:
    if entry is None or entry.mark == COMPLETED:
        return False
    if live is None or live["metadata"].get("uid") != entry.uid:
        return True
    return has_moved(entry, live)


def differences(api: Api, manifest: Manifest) -> Differences | None:
    """Return the paths of our fields that differ from what is live, and those that others added,
    each with the wanted and the live value; None if the object is gone.
    """
    metadata = manifest["metadata"]
    live = api.find(
        kind_of(manifest),
        metadata["name"],
        namespace=metadata.get("namespace", ""),
        keeps_managers=True,
    )
    if live is None:
        return None
    wanted = api.apply(manifest, is_trial=True)
    wanted["metadata"].pop("managedFields", None)
    managed = live["metadata"].pop("managedFields", None)
    found = {
        path: Difference(ours, theirs)
        for path, ours, theirs in _differences(wanted, live, "")
        if not _is_ignored(path)
    }
    if kind_of(manifest) not in CREATED_ONCE:
        live["metadata"]["managedFields"] = managed
        found = _with_authors(found, live)
    return dict(islice(found.items(), MOST_FIELDS))


def _with_authors(found: Differences, live: Manifest) -> Differences:
    """Add who changed the fields that differ, and the fields that others added."""
    known = authors(live)
    changed = {
        path: replace(one, author=next((by for at, by in known if _concerns(path, at)), None))
        for path, one in found.items()
    }
    added = {
        path: Difference(MISSING, ADDED, author)
        for path, author in added_fields(live).items()
        if not any(_concerns(path, other) for other in found)
    }
    return {**changed, **added}


def _concerns(one: str, other: str) -> bool:
    """Return whether one of two paths leads to the other."""
    short, long = sorted((one, other), key=len)
    return long == short or (long.startswith(short) and long[len(short)] in ".[")


def _shown_values(kind: str, found: Differences) -> dict[str, tuple[str, str]]:
    """Write values for people, bounded. What is secret, or is called so, is left out."""
    if kind == "Secret":
        return {}
    return {
        path: (_in_words(one.ours), _in_words(one.theirs))
        for path, one in found.items()
        if not (_SECRET.search(path) or _holds_secret(one.ours) or _holds_secret(one.theirs))
    }


def _in_words(value: object) -> str:
    if value is MISSING:
        return "not set"
    if value is ADDED:
        # What others add may be anything, a password among them.
        return "added"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = _LOGIN_IN_URL.sub("://•••@", UNSAFE.sub("", text))
    return f"{text[:MOST_CHARACTERS]}…" if len(text) > MOST_CHARACTERS else text


def _holds_secret(value: object) -> bool:
    """Tell whether a value with parts names one of them as if it were secret."""
    if isinstance(value, dict):
        named = any(
            _SECRET.search(str(part))
            for key, one in value.items()
            for part in (key, one)
            if isinstance(part, str)
        )
        return named or any(_holds_secret(one) for one in value.values())
    return isinstance(value, list) and any(_holds_secret(one) for one in value)


def _is_ignored(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in _IGNORED)


def _paths(wanted: Any, live: Any, path: str) -> Iterator[str]:
    """Yield the paths at which two values differ, as far down as both have the same shape."""
    yield from (path for path, _, _ in _differences(wanted, live, path))


def _differences(wanted: Any, live: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the paths at which two values differ, each with both values."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key in wanted.keys() | live.keys():
            below = f"{path}.{key}" if path else str(key)
            if key in wanted and key in live:
                yield from _differences(wanted[key], live[key], below)
            else:
                yield below, wanted.get(key, MISSING), live.get(key, MISSING)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _list_differences(wanted, live, path)
    elif wanted != live:
        yield path, wanted, live


def _list_differences(
    wanted: list[Any], live: list[Any], path: str
) -> Iterator[tuple[str, Any, Any]]:
    key = _key_of([*wanted, *live])
    if not key:
        if len(wanted) != len(live):
            yield path, wanted, live
            return
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
        return
    ours, theirs = {item[key]: item for item in wanted}, {item[key]: item for item in live}
    for name in ours.keys() | theirs.keys():
        below = f"{path}[{name}]"
        if name in ours and name in theirs:
            yield from _differences(ours[name], theirs[name], below)
        else:
            yield below, ours.get(name, MISSING), theirs.get(name, MISSING)


def _key_of(items: list[Any]) -> str:
    """Return the field that identifies the items of a list, if there is one."""
    if not items or not all(isinstance(item, dict) for item in items):
        return ""
    for key in _KEYS:
        if all(key in item for item in items):
            return key
    return ""
