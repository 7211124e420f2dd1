"""Who set which fields of an object, from the `managedFields` that the API server keeps of it.

Server-side apply takes away what the portal no longer wants, and leaves what others added beside
it: a variable in a container, a container in a pod. Pure; the format is described in "Server-Side
Apply" of the Kubernetes documentation, its paths in sigs.k8s.io/structured-merge-diff `fieldpath`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.names import FIELD_MANAGER

Tree = Mapping[str, Any]
# Labels, annotations and finalizers of others are theirs; controllers report in the status, and
# some distributions give every service account a way to their registry.
_NOT_JUDGED = ("f:metadata", "f:status", "f:secrets", "f:imagePullSecrets")
# Autoscalers set it in the spec; where the portal does, a change of it is seen as one.
_REPLICAS = "f:replicas"
# `kubectl rollout restart` leaves a mark that changes nothing.
_RESTARTED = "f:kubectl.kubernetes.io/restartedAt"
_ITEM = "."
_KEYS = ("name", "mountPath", "containerPort", "key", "port")
LONGEST_NAME = 60


@dataclass(frozen=True)
class Author:
    """Who wrote a field, as the API server knows it: a program and a time in ISO 8601."""

    manager: str
    at: str


def added_fields(live: Manifest) -> dict[str, Author]:
    """Return the paths that others set in an object and the portal does not, with their authors."""
    ours = _tree_of_portal(live)
    return {
        path: author
        for entry, author in _others(live)
        for path in _beside(_judged(entry.get("fieldsV1") or {}), ours, "")
    }


def authors(live: Manifest) -> list[tuple[str, Author]]:
    """Return all paths that others set, changed fields of the portal among them."""
    return [
        (path, author)
        for entry, author in _others(live)
        for path in _leaves(_judged(entry.get("fieldsV1") or {}), "")
    ]


def adopted(live: Manifest) -> list[Manifest]:
    """Return the `managedFields` in which what others set belongs to the portal, so that its next
    apply removes what it does not want.
    """
    entries = [dict(entry) for entry in live["metadata"].get("managedFields") or ()]
    ours = next((one for one in entries if _is_apply_of_portal(one)), None)
    if ours is None:
        return entries
    for entry in entries:
        if not _is_others(entry):
            continue
        fields = entry.get("fieldsV1") or {}
        ours["fieldsV1"] = _union(ours.get("fieldsV1") or {}, _judged(fields))
        entry["fieldsV1"] = _without(fields, _judged(fields))
    return [entry for entry in entries if entry.get("fieldsV1")]


def _others(live: Manifest) -> Iterator[tuple[Manifest, Author]]:
    for entry in live["metadata"].get("managedFields") or ():
        if _is_others(entry):
            name = str(entry.get("manager", ""))
            shown = "".join(c for c in name if c.isprintable())[:LONGEST_NAME]
            yield entry, Author(manager=shown or "unknown", at=str(entry.get("time", ""))[:30])


def _is_others(entry: Manifest) -> bool:
    """Whoever edits by the portal's own name counts as another one: the portal itself applies what
    it wants of an object.
    """
    return not _is_apply_of_portal(entry) and not entry.get("subresource")


def _is_apply_of_portal(entry: Manifest) -> bool:
    is_apply = entry.get("operation") == "Apply" and not entry.get("subresource")
    return entry.get("manager") == FIELD_MANAGER and is_apply


def _tree_of_portal(live: Manifest) -> Tree:
    tree: Tree = {}
    for entry in live["metadata"].get("managedFields") or ():
        if _is_apply_of_portal(entry):
            tree = _union(tree, entry.get("fieldsV1") or {})
    return tree


def _judged(tree: Tree) -> Tree:
    """Return the part of a tree that others have no business with."""
    spec = {key: value for key, value in tree.get("f:spec", {}).items() if key != _REPLICAS}
    rest = {key: value for key, value in tree.items() if key not in (*_NOT_JUDGED, "f:spec")}
    return _unmarked({**rest, "f:spec": spec} if spec else rest)


def _unmarked(tree: Tree) -> dict[str, Any]:
    """Return a tree without marks of a restart, and without what held nothing else."""
    found = {}
    for key, value in tree.items():
        if key == _RESTARTED:
            continue
        below = _unmarked(value)
        if below.keys() - {_ITEM} or not value.keys() - {_ITEM}:
            found[key] = below
    return found


def _union(one: Tree, other: Tree) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        merged[key] = _union(merged.get(key, {}), value)
    return merged


def _without(tree: Tree, taken: Tree) -> dict[str, Any]:
    left = {}
    for key, value in tree.items():
        below = _without(value, taken.get(key, {}))
        if key not in taken or below:
            left[key] = below
    return left


def _beside(tree: Tree, ours: Tree, path: str) -> Iterator[str]:
    """Yield the topmost paths of a tree that are not in the portal's."""
    for key, value in tree.items():
        if key == _ITEM:
            continue
        below = _path(path, key)
        if key not in ours:
            yield below
        else:
            yield from _beside(value, ours[key], below)


def _leaves(tree: Tree, path: str) -> Iterator[str]:
    for key, value in tree.items():
        if key == _ITEM:
            continue
        below = _path(path, key)
        if value.keys() - {_ITEM}:
            yield from _leaves(value, below)
        else:
            yield below


def _path(path: str, key: str) -> str:
    """Write one step as drift does: `.image`, `[scheduler]`."""
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f"{path}.{rest}" if path else rest
    if kind == "k":
        keys = orjson.loads(rest)
        named = next((keys[name] for name in _KEYS if name in keys), rest)
        return f"{path}[{named}]"
    return f"{path}[{rest}]"
