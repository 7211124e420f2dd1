"""One pass of making a Deployment true: what is missing or differs is applied, stage by stage.

A pass looks first: the inventory says what was made and how it looked then, one LIST per kind says
how it looks now. Only what differs is sent. A stage that others wait for ends the pass until its
objects are well. Everything may be cut off at any request: what is about to be made is in the
inventory already, and applying twice is applying once.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes import kstatus
from apps.dataplane.kubernetes.client import Api
from apps.dataplane.kubernetes.code_arrival import hurry_code
from apps.dataplane.kubernetes.drift import differences
from apps.dataplane.kubernetes.inventory import (
    COMPLETED,
    FAILED,
    Entry,
    Inventory,
    entry_of,
    has_moved,
    hash_of,
    inventory_in,
    manifest_of,
    unwanted,
)
from apps.dataplane.kubernetes.kinds import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    ROLE_BINDING,
    STATEFUL_SET,
    Manifest,
    kind_of,
    object_id,
    place_in,
    split_id,
    title,
)
from apps.dataplane.kubernetes.live import (
    in_parallel,
    live_objects,
    owned_namespace,
    selector,
)
from apps.dataplane.kubernetes.logs import last_lines_of_job
from apps.dataplane.kubernetes.names import (
    DEPLOYMENT_LABEL,
    INVENTORY,
    PORTAL_LABEL,
    QUEUE_LABEL,
    namespace_of,
)
from apps.dataplane.kubernetes.pruning import prune
from apps.dataplane.kubernetes.reasons import reasons_of
from apps.dataplane.kubernetes.refusals import NotFound, Refused, scrub
from apps.dataplane.kubernetes.render.data import ONCE_ANNOTATION
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress, Step

HEALTHY_STEP = "Wait until Airflow is healthy"
ROLE_SECONDS = 0.5
PRUNE_STEP = "Remove what is not wanted any more"


class ApplyPass:
    """The state of one pass; made anew for each."""

    def __init__(
        self, *, api: Api, portal_id: str, spec: DeploymentSpec, stages: tuple[Stage, ...]
    ) -> None:
        self.api = api
        self.portal_id = portal_id
        self.spec = spec
        self.stages = stages
        self.namespace = namespace_of(spec.ref)
        self.labels = {PORTAL_LABEL: portal_id, DEPLOYMENT_LABEL: spec.ref}
        self.now = datetime.now(UTC)
        self.inventory = Inventory()
        self.saved = Inventory()
        self.entries: dict[str, Entry] = {}
        self.live: dict[str, Manifest] = {}
        self.hashes = {object_id(m): hash_of(m) for s in stages for m in s.objects}

    def run(self) -> Progress:
        """Do what can be done now. Raises Permanent where a person must act."""
        namespace = owned_namespace(self.api, portal_id=self.portal_id, ref=self.spec.ref)
        if namespace is not None:
            self._look(namespace)
        self._refuse_older()
        if self._is_true():
            self._save()
            steps = [_step(stage, "done") for stage in self.stages]
            return self._progress([*steps, self._settle()])
        try:
            return self._drive(namespace)
        except DataPlaneError:
            # What was applied before the failure is known to the next pass; if not, it is applied
            # once more.
            with suppress(DataPlaneError):
                self._save()
            raise

    def _look(self, namespace: Manifest) -> None:
        self.inventory = self.saved = inventory_in(
            self.api.find(CONFIG_MAP, INVENTORY, namespace=self.namespace)
        )
        self.entries = dict(self.inventory.entries)
        home = object_id(namespace)
        self.live = live_objects(
            self.api,
            home=self.namespace,
            ids=[one for one in {**self.hashes, **self.entries} if one != home],
            labels=selector(portal_id=self.portal_id, ref=self.spec.ref),
        )
        self.live[home] = namespace
        self._keep_claims()
        if not self.spec.corrects_drift:
            self._forgive()

    def _keep_claims(self) -> None:
        """Take what is made once as it is: hardly anything of it may be changed later."""
        for manifest in (m for s in self.stages for m in s.objects):
            one = object_id(manifest)
            annotations = manifest["metadata"].get("annotations") or {}
            if annotations.get(ONCE_ANNOTATION) == "true" and one in self.live:
                self.entries[one] = entry_of(
                    self.live[one], manifest=manifest, hash=self.hashes[one]
                )

    def _forgive(self) -> None:
        """Note what moved without a change to anything of ours, so that it is no drift."""
        moved = [
            m
            for s in self.stages
            for m in s.objects
            if (one := object_id(m)) in self.live
            and self.entries.get(one, Entry()).hash == self.hashes[one]
            and has_moved(self.entries[one], self.live[one])
        ]
        for manifest, fields in zip(
            moved, in_parallel(lambda m: differences(self.api, m), moved), strict=True
        ):
            if fields == ():
                one = object_id(manifest)
                self.entries[one] = entry_of(
                    self.live[one], manifest=manifest, hash=self.hashes[one]
                )

    def _refuse_older(self) -> None:
        if self.inventory.wanted > self.spec.revision:
            raise Temporary(
                f"Revision {self.inventory.wanted} is on the cluster already, "
                f"so revision {self.spec.revision} is not applied."
            )

    def _is_true(self) -> bool:
        return (
            self.inventory.revision == self.inventory.wanted == self.spec.revision
            and not any(self._differs(m) for s in self.stages for m in s.objects)
            and not self._unwanted()
        )

    def _differs(self, manifest: Manifest) -> bool:
        """Say whether an object must be applied."""
        one = object_id(manifest)
        entry, live = self.entries.get(one, Entry()), self.live.get(one)
        if entry.hash != self.hashes[one] or entry.mark == FAILED:
            return True
        if entry.mark == COMPLETED:
            # A Job that is done may be tidied away by the cluster.
            return False
        if live is None or live["metadata"].get("uid") != entry.uid:
            return True
        return self.spec.corrects_drift and has_moved(entry, live)

    def _unwanted(self) -> dict[str, Entry]:
        return unwanted(self.inventory, (m for s in self.stages for m in s.objects))

    def _drive(self, namespace: Manifest | None) -> Progress:
        steps: list[Step] = []
        if namespace is None:
            self._make_namespace()
        self._announce()
        for index, stage in enumerate(self.stages):
            step = self._advance(stage)
            steps.append(step)
            if step.state != "done":
                self._save()
                steps += [_step(later, "waiting") for later in self.stages[index + 1 :]]
                steps.append(Step(key="healthy", title=HEALTHY_STEP, state="waiting"))
                return self._progress(steps)
        steps.append(self._settle())
        if steps[-1].state != "done":
            self._save()
            return self._progress(steps)
        return self._finish(steps)

    def _progress(self, steps: list[Step]) -> Progress:
        return Progress(steps=tuple(steps), is_done=all(step.state == "done" for step in steps))

    def _make_namespace(self) -> None:
        """Apply the Namespace before all else, for the inventory lives in it."""
        for manifest in (m for s in self.stages for m in s.objects):
            if kind_of(manifest) == NAMESPACE and manifest["metadata"]["name"] == self.namespace:
                self._apply(manifest)

    def _announce(self) -> None:
        self.inventory = self.inventory.announcing(self.hashes, wanted=self.spec.revision)
        self.entries = {**self.inventory.entries, **self.entries}
        self._save()

    def _advance(self, stage: Stage) -> Step:
        """Apply what differs in a stage, and say how far its objects are."""
        pending = [m for m in stage.objects if self._differs(m)]
        for wave in (_are_bindings(pending, False), _are_bindings(pending, True)):
            in_parallel(self._apply, wave)
        if not stage.waits:
            return _step(stage, "done")
        waiting = []
        for manifest in stage.objects:
            if kind_of(manifest) == CLAIM:
                # It may well wait for its first pod, which comes in a later stage.
                continue
            status = self._status(manifest)
            if status.state != "current":
                waiting.append((object_id(manifest), status))
        self._fail_with_a_job(waiting)
        return self._waiting_step(stage.key, stage.title, waiting)

    def _waiting_step(
        self, key: str, heading: str, waiting: list[tuple[str, kstatus.Status]]
    ) -> Step:
        if not waiting:
            return Step(key=key, title=heading, state="done")
        detail = [f"{title(one)}: {status.sentence}" for one, status in waiting[:3]]
        reasons = reasons_of(
            self.api, namespace=self.namespace, workloads=[one for one, _ in waiting], now=self.now
        )
        return Step(
            key=key, title=heading, state="running", detail=scrub(" ".join([*detail, *reasons]), ())
        )

    def _status(self, manifest: Manifest) -> kstatus.Status:
        one = object_id(manifest)
        if self.entries[one].mark == COMPLETED:
            return kstatus.CURRENT
        status = kstatus.status_of(self.live[one], now=self.now)
        is_for_later = manifest.get("spec", {}).get("suspend")
        if kind_of(manifest) == JOB and status.state == "current" and not is_for_later:
            self.entries[one] = replace(self.entries[one], mark=COMPLETED)
        return status

    def _fail_with_a_job(self, waiting: list[tuple[str, kstatus.Status]]) -> None:
        for one, status in waiting:
            kind, name = split_id(one)
            if kind == JOB and status.state == "failed":
                # The next attempt makes a new one.
                self.entries[one] = replace(self.entries[one], mark=FAILED)
                raise Permanent(
                    f"{title(one)} did not succeed. {status.sentence}",
                    component=name,
                    log=last_lines_of_job(
                        self.api, namespace=place_in(one, self.namespace), job=name
                    ),
                )

    def _apply(self, manifest: Manifest) -> None:
        one, kind = object_id(manifest), kind_of(manifest)
        if kind == JOB and self.entries.get(one, Entry()).mark == FAILED:
            self._delete_job(one)
        try:
            live = self._sent(manifest)
        except Refused as error:
            if not error.is_immutable:
                raise
            if kind != JOB:
                raise Permanent(
                    f"{error.sentence} This part of {title(one)} cannot be changed in place: "
                    f"delete it with kubectl, and the portal makes it anew."
                ) from None
            self._delete_job(one)
            raise Temporary(f"{title(one)} is made anew.") from None
        self.live[one] = live
        self.entries[one] = entry_of(live, manifest=manifest, hash=self.hashes[one])

    def _sent(self, manifest: Manifest) -> Manifest:
        try:
            return self.api.apply(manifest)
        except NotFound as error:
            if kind_of(manifest) != ROLE_BINDING:
                raise
            # The API server looks for the Role in a cache that may not have it yet.
            raise Temporary(error.sentence, retry_after_seconds=ROLE_SECONDS) from None

    def _delete_job(self, one: str) -> None:
        """Remove a Job that ran, so that one by the same name can be made."""
        kind, name = split_id(one)
        live = self.live.pop(one, None)
        if live is None:
            return
        place = place_in(one, self.namespace)
        self.api.delete(kind, name, namespace=place, uid=live["metadata"]["uid"])
        self.entries[one] = Entry()

    def _settle(self) -> Step:
        """Say whether Airflow runs as it now should."""
        waiting = []
        for one in self.hashes:
            kind, _ = split_id(one)
            if kind not in (DEPLOYMENT, STATEFUL_SET):
                continue
            status = kstatus.status_of(self.live[one], now=self.now)
            if status.state == "current" or (
                _is_worker(self.live[one]) and kstatus.is_seen(self.live[one])
            ):
                # Workers come and go with their tasks; old ones may take a day to end.
                continue
            waiting.append((one, status))
        return self._waiting_step("healthy", HEALTHY_STEP, waiting)

    def _finish(self, steps: list[Step]) -> Progress:
        gone, left = prune(
            self.api,
            namespace=self.namespace,
            unwanted=self._unwanted(),
            live=self.live,
            owner=(self.portal_id, self.spec.ref),
        )
        for one in gone:
            del self.entries[one]
        if left:
            self._save()
            last = Step(key="prune", title=PRUNE_STEP, state="running", detail=left[0])
            return self._progress([*steps, last])
        code = self.spec.code.digest if self.spec.code else ""
        if code != self.inventory.code_digest:
            hurry_code(self.api, portal_id=self.portal_id, ref=self.spec.ref, digest=code)
        self.inventory = replace(self.inventory, revision=self.spec.revision, code_digest=code)
        self._save()
        return self._progress(steps)

    def _save(self) -> None:
        """Write the inventory, if it is news and there is a namespace to write it to."""
        self.inventory = replace(self.inventory, entries=dict(self.entries), exists=True)
        if self.inventory == self.saved or f"{NAMESPACE.key}/{self.namespace}" not in self.live:
            return
        self.api.apply(manifest_of(self.inventory, namespace=self.namespace, labels=self.labels))
        self.saved = self.inventory


def _step(stage: Stage, state: str, detail: str = "") -> Step:
    return Step(key=stage.key, title=stage.title, state=state, detail=detail)  # type: ignore[arg-type]


def _is_worker(item: Manifest) -> bool:
    return QUEUE_LABEL in (item["metadata"].get("labels") or {})


def _are_bindings(manifests: Sequence[Manifest], wanted: bool) -> list[Manifest]:
    """Tell RoleBindings from all else: nobody may grant a Role that is not there."""
    return [m for m in manifests if (kind_of(m) == ROLE_BINDING) == wanted]
