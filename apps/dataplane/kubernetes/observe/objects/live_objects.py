"""The live objects of a Deployment's namespace, in one LIST per kind whatever their number."""

from collections.abc import Iterable

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import BeingDeleted
from apps.dataplane.kubernetes.api.kinds import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    QUOTA,
    SCALED_OBJECT,
    STATEFUL_SET,
    Kind,
    Manifest,
    object_id,
    place_in,
    split_id,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import DEPLOYMENT_LABEL, PORTAL_LABEL

# Their health, or that they were changed, is read from the same LIST; for others the metadata is
# enough.
WHOLE = (DEPLOYMENT, STATEFUL_SET, JOB, CLAIM, QUOTA, SCALED_OBJECT)


def live_objects(api: Api, *, home: str, ids: Iterable[str], labels: str) -> dict[str, Manifest]:
    """Return the live objects of the kinds and in the namespaces of some object ids, by id."""
    places = dict.fromkeys((split_id(one)[0], place_in(one, home)) for one in ids)
    shared = [one for one in ids if split_id(one)[0] == NAMESPACE]

    def look(place: tuple[Kind, str]) -> list[Manifest]:
        kind, namespace = place
        return api.list(kind, namespace=namespace, labels=labels, metadata_only=kind not in WHOLE)

    lists = in_parallel(look, [place for place in places if place[0].is_namespaced])
    lists += in_parallel(lambda one: _namespace(api, split_id(one)[1]), shared)
    return {object_id(item): item for items in lists for item in items}


def _namespace(api: Api, name: str) -> list[Manifest]:
    found = api.find(NAMESPACE, name, metadata_only=True)
    return [{**found, "kind": NAMESPACE.name, "apiVersion": NAMESPACE.api_version}] if found else []


def selector(*, portal_id: str, ref: str = "") -> str:
    """Return the label selector of everything of a portal, or of one of its Deployments."""
    chosen = f"{PORTAL_LABEL}={portal_id}"
    return f"{chosen},{DEPLOYMENT_LABEL}={ref}" if ref else chosen


def is_ours(item: Manifest, *, portal_id: str, ref: str) -> bool:
    """Return whether this portal created an object for this Deployment."""
    labels = item["metadata"].get("labels") or {}
    return labels.get(PORTAL_LABEL) == portal_id and labels.get(DEPLOYMENT_LABEL) == ref


def owned_namespace(api: Api, *, portal_id: str, ref: str) -> Manifest | None:
    """Return a Deployment's namespace, None if there is none. A named one is none until a
    Deployment has taken it.

    Raises Permanent if it is not this portal's, BeingDeleted while it is being deleted.
    """
    name = api.home(ref)
    namespace = api.find(NAMESPACE, name, metadata_only=True)
    if namespace is None:
        return None
    namespace |= {"kind": NAMESPACE.name, "apiVersion": NAMESPACE.api_version}
    if api.connection.namespaces and not _is_taken(namespace):
        return None
    if not is_ours(namespace, portal_id=portal_id, ref=ref):
        raise Permanent(
            f"The cluster has a namespace {name} that this portal did not make. "
            "Delete it, or create the Deployment under another name."
        )
    if namespace["metadata"].get("deletionTimestamp"):
        raise BeingDeleted(f"The namespace {name} is still being deleted.")
    return namespace


def _is_taken(namespace: Manifest) -> bool:
    labels = namespace["metadata"].get("labels") or {}
    return PORTAL_LABEL in labels or DEPLOYMENT_LABEL in labels
