"""Whether applied objects have become ready, and if not, why."""

from collections.abc import Iterable
from datetime import datetime

from apps.dataplane.errors import Permanent
from apps.dataplane.kubernetes.api.errors import scrub
from apps.dataplane.kubernetes.api.kinds import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    STATEFUL_SET,
    Manifest,
    kind_of,
    object_id,
    place_in,
    split_id,
    title,
)
from apps.dataplane.kubernetes.apply.apply_state import ApplyState
from apps.dataplane.kubernetes.names import QUEUE_LABEL
from apps.dataplane.kubernetes.observe.logs import last_lines_of_job
from apps.dataplane.kubernetes.observe.objects import kstatus
from apps.dataplane.kubernetes.observe.objects.inventory import COMPLETED, FAILED
from apps.dataplane.kubernetes.observe.reasons import reasons_of
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.status import Step

HEALTHY = Step(key="healthy", title="Wait until Airflow is healthy", state="waiting")
MOST_NAMED = 3
UNTRUSTED = (
    "The PostgreSQL server's certificate was not issued by the CA of the cluster's settings. Enter "
    "the CA certificate that issued it."
)
OTHER_NAME = (
    "The PostgreSQL server's certificate is for another host name than the one of the cluster's "
    "settings. Enter that name, or check the CA alone."
)
UNENCRYPTED = (
    "The PostgreSQL server takes encrypted connections only. Choose one in the cluster's settings."
)
UNKNOWN_HOST = (
    "The cluster's DNS does not know the PostgreSQL server's name. Correct it in the cluster's "
    "settings."
)
REFUSED_ROLE = (
    "The PostgreSQL server refuses the password of the role. Enter it in the cluster's settings."
)
# What libpq says, and what it means.
DATABASE_PROBLEMS = {
    "SSL error: certificate verify failed": UNTRUSTED,
    "does not match host name": OTHER_NAME,
    "no encryption": UNENCRYPTED,
    "could not translate host name": UNKNOWN_HOST,
    "password authentication failed": REFUSED_ROLE,
}
Waiting = list[tuple[str, kstatus.Status]]


def stage_step(state: ApplyState, stage: Stage, *, now: datetime) -> Step:
    """Return the progress of a stage's objects. Raises Permanent when a Job of it failed."""
    waiting: Waiting = []
    for manifest in stage.objects if stage.waits else ():
        status = _status(state, manifest, now=now)
        if status.state != "current":
            waiting.append((object_id(manifest), status))
    for one, status in waiting:
        if split_id(one)[0] == JOB and status.state == "failed":
            raise _failure(state, one, status)
    return _step(state, waiting, key=stage.key, heading=stage.title, now=now)


def healthy_step(state: ApplyState, *, now: datetime) -> Step:
    """Return the progress of Airflow towards running as applied."""
    waiting: Waiting = []
    for manifest in state.manifests():
        if kind_of(manifest) not in (DEPLOYMENT, STATEFUL_SET):
            continue
        live = state.live[object_id(manifest)]
        status = kstatus.status_of(live, now=now)
        # Workers come and go with their tasks; old ones may take a day to end.
        is_enough = _is_worker(live) and kstatus.is_seen(live)
        if status.state != "current" and not is_enough:
            waiting.append((object_id(manifest), status))
    return _step(state, waiting, key=HEALTHY.key, heading=HEALTHY.title, now=now)


def _status(state: ApplyState, manifest: Manifest, *, now: datetime) -> kstatus.Status:
    one, kind = object_id(manifest), kind_of(manifest)
    if state.entries[one].mark == COMPLETED or kind == CLAIM:
        # A claim may wait for its first pod, which comes in a later stage.
        return kstatus.CURRENT
    status = kstatus.status_of(state.live[one], now=now)
    is_for_later = manifest.get("spec", {}).get("suspend")
    if kind == JOB and status.state == "current" and not is_for_later:
        state.mark(one, COMPLETED)
    return status


def _failure(state: ApplyState, one: str, status: kstatus.Status) -> Permanent:
    """Mark a Job as failed, so that the next attempt makes a new one."""
    state.mark(one, FAILED)
    _, name = split_id(one)
    log = last_lines_of_job(state.api, namespace=place_in(one, state.namespace), job=name)
    message = f"{title(one)} did not succeed. {status.message}{explained(log)}"
    return Permanent(message, component=name, log=log)


def explained(log: Iterable[str]) -> str:
    """Return what libpq's words in a log mean here, as a sentence to append; "" for others."""
    text = "\n".join(log)
    return next((f" {said}" for words, said in DATABASE_PROBLEMS.items() if words in text), "")


def _step(state: ApplyState, waiting: Waiting, *, key: str, heading: str, now: datetime) -> Step:
    if not waiting:
        return Step(key=key, title=heading, state="done")
    # Objects created in this pass have no pods yet that could tell why.
    ids = [one for one, _ in waiting if one not in state.made]
    messages = [f"{title(one)}: {status.message}" for one, status in waiting[:MOST_NAMED]]
    if ids:
        messages += reasons_of(state.api, namespace=state.namespace, workloads=ids, now=now)
    return Step(key=key, title=heading, state="running", detail=scrub(" ".join(messages), ()))


def _is_worker(item: Manifest) -> bool:
    return QUEUE_LABEL in (item["metadata"].get("labels") or {})
