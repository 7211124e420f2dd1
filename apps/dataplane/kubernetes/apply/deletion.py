"""One pass of deleting a Deployment from a cluster, until nothing of it is left.

KEDA's objects go first, while KEDA is there to remove their finalizers; then workloads, so that
workers finish their tasks; then the database, where it is on the cluster's server; then the
namespace with all the rest; a named one is emptied and stays. A namespace that is not ours is never
touched.
"""

from collections.abc import Sequence

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import BeingDeleted, Conflict
from apps.dataplane.kubernetes.api.kinds import (
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    SCALED_OBJECT,
    SECRET,
    STATEFUL_SET,
    Kind,
    Manifest,
    kind_of,
    object_id,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.apply.databases import drop_database
from apps.dataplane.kubernetes.apply.named_namespaces import OTHERS, release_namespace
from apps.dataplane.kubernetes.apply.pruning import still_ending
from apps.dataplane.kubernetes.observe.objects.live_objects import owned_namespace, selector
from apps.dataplane.kubernetes.observe.reasons import quote
from apps.dataplane.kubernetes.render.components.database_jobs import NAMESPACE as DATABASES
from apps.dataplane.status import Progress, Step, StepState

STEPS = (
    ("scaling", "Stop scaling"),
    ("stop", "Stop Airflow"),
    ("database", "Drop the database"),
    ("namespace", "Remove everything else"),
)
WORKLOADS = (CRON_JOB, DEPLOYMENT, STATEFUL_SET, JOB)
BESIDE_DATABASES = (JOB, SECRET, CONFIG_MAP, NETWORK_POLICY)
WAIT_SECONDS = 2.0
LONGEST_SECONDS = 30


def delete_pass(api: Api, *, portal_id: str, ref: str) -> Progress:
    """Do what can be done now. Raises Permanent if the namespace is not this portal's."""
    name = api.home(ref)
    labels = selector(portal_id=portal_id, ref=ref)
    try:
        namespace = owned_namespace(api, portal_id=portal_id, ref=ref)
    except BeingDeleted:
        return _at("namespace", _what_is_left(api, name))
    is_named = bool(api.connection.namespaces)
    if namespace is not None or is_named:
        left = _remove(api, (SCALED_OBJECT,), namespace=name, labels=labels)
        if left:
            return _at("scaling", left[0])
        left = _remove(api, WORKLOADS, namespace=name, labels=labels)
        left += _end_pods(api, namespace=name, labels=labels)
        if left:
            return _at("stop", left[0])
    waits_for = drop_database(api, labels=labels)
    if waits_for:
        return _at("database", waits_for)
    left = _remove(api, BESIDE_DATABASES, namespace=DATABASES, labels=labels)
    if left:
        return _at("database", left[0])
    if is_named:
        left = _remove(api, OTHERS, namespace=name, labels=labels)
        if left:
            return _at("namespace", left[0])
        release_namespace(api, name, portal_id=portal_id, ref=ref)
    if namespace is None or is_named:
        return Progress(steps=_steps(len(STEPS)), is_done=True)
    api.delete(NAMESPACE, name, uid=namespace["metadata"]["uid"])
    return _at("namespace", "The namespace is being deleted.")


def _remove(api: Api, kinds: Sequence[Kind], *, namespace: str, labels: str) -> list[str]:
    """Delete all objects of some kinds, and return a message for each that is still there."""
    lists = in_parallel(
        lambda kind: api.list(kind, namespace=namespace, labels=labels, metadata_only=True), kinds
    )
    found = [item for items in lists for item in items]
    in_parallel(
        lambda item: _delete(api, item),
        [item for item in found if not item["metadata"].get("deletionTimestamp")],
    )
    return [still_ending(object_id(item), item) for item in found]


def _end_pods(api: Api, *, namespace: str, labels: str) -> list[str]:
    """Shorten the grace period of pods: workers would otherwise have a day for their tasks."""
    pods = api.list(POD, namespace=namespace, labels=labels, metadata_only=True)
    slow = [
        pod
        for pod in pods
        if int(pod["metadata"].get("deletionGracePeriodSeconds", LONGEST_SECONDS + 1))
        > LONGEST_SECONDS
    ]
    in_parallel(lambda pod: _delete(api, pod, grace_seconds=LONGEST_SECONDS), slow)
    return [f"{len(pods)} pods are terminating."] if pods else []


def _delete(api: Api, item: Manifest, *, grace_seconds: int | None = None) -> None:
    metadata = item["metadata"]
    try:
        api.delete(
            kind_of(item),
            metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            grace_seconds=grace_seconds,
        )
    except Conflict:
        return


def _what_is_left(api: Api, name: str) -> str:
    """Return what keeps a namespace from being deleted, from its conditions."""
    namespace = api.find(NAMESPACE, name)
    conditions = ((namespace or {}).get("status") or {}).get("conditions") or ()
    words = [
        str(condition.get("message", ""))
        for condition in conditions
        if condition.get("status") == "True"
    ]
    if not words:
        return "The namespace is being deleted."
    return f"The namespace is being deleted. {quote(' '.join(words))}"


def _at(key: str, detail: str) -> Progress:
    index = [step for step, _ in STEPS].index(key)
    return Progress(steps=_steps(index, detail), is_done=False, retry_after_seconds=WAIT_SECONDS)


def _steps(done_count: int, detail: str = "") -> tuple[Step, ...]:
    steps = []
    for index, (key, title) in enumerate(STEPS):
        state: StepState = "waiting"
        if index < done_count:
            state = "done"
        elif index == done_count:
            state = "running"
        shown = detail if index == done_count else ""
        steps.append(Step(key=key, title=title, state=state, detail=shown))
    return tuple(steps)
