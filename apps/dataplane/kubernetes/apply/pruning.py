"""Delete what is in the inventory and no longer rendered."""

from collections.abc import Mapping

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import Conflict
from apps.dataplane.kubernetes.api.kinds import (
    DEPLOYMENT,
    JOB,
    SCALED_OBJECT,
    SERVICE,
    STATEFUL_SET,
    Manifest,
    place_in,
    split_id,
    title,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.observe.objects.inventory import Entry
from apps.dataplane.kubernetes.observe.objects.live_objects import is_ours

# KEDA restores replicas when its object is deleted: before the workload, not after.
ORDER = (SCALED_OBJECT, DEPLOYMENT, STATEFUL_SET, JOB, SERVICE)


def prune(
    api: Api,
    *,
    namespace: str,
    unwanted: Mapping[str, Entry],
    live: Mapping[str, Manifest],
    owner: tuple[str, str],
) -> tuple[list[str], list[str]]:
    """Delete what is unwanted and still is the portal's object; `owner` is portal and ref.

    Returns the ids that are gone, and a message for each object that is still being deleted.
    """
    portal_id, ref = owner
    gone = [
        one
        for one, entry in unwanted.items()
        if one not in live
        or (entry.uid and live[one]["metadata"].get("uid") != entry.uid)
        or not is_ours(live[one], portal_id=portal_id, ref=ref)
    ]
    present = sorted((one for one in unwanted if one not in gone), key=_rank)
    first = [one for one in present if _rank(one) == _rank(present[0])]
    waiting = [one for one in present if live[one]["metadata"].get("deletionTimestamp")]

    def delete(one: str) -> None:
        kind, name = split_id(one)
        try:
            api.delete(
                kind, name, namespace=place_in(one, namespace), uid=live[one]["metadata"]["uid"]
            )
        except Conflict:
            # Another object of the same name took its place: not ours.
            gone.append(one)

    in_parallel(delete, [one for one in first if one not in waiting])
    return gone, [still_ending(one, live[one]) for one in present if one not in gone]


def still_ending(one: str, live: Manifest) -> str:
    """Return what an object that is being deleted waits for."""
    finalizers = live["metadata"].get("finalizers") or ()
    if live["metadata"].get("deletionTimestamp") and finalizers:
        return f"{title(one)} waits for {', '.join(map(str, finalizers))} to release it."
    return f"{title(one)} is being deleted."


def _rank(one: str) -> int:
    kind, _ = split_id(one)
    return ORDER.index(kind) if kind in ORDER else len(ORDER)
