"""One pass of applying a Deployment: what is missing or differs is applied, stage by stage.

A pass observes first: the inventory holds what was applied, one LIST per kind what exists now. Only
what differs is sent. A stage that others wait for ends the pass until its objects are ready. A pass
may be interrupted at any request: objects enter the inventory before they are created, and applying
is idempotent.
"""

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from apps.dataplane.errors import DataPlaneError, Permanent, Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.errors import NotFound, Refused
from apps.dataplane.kubernetes.api.kinds import (
    JOB,
    NAMESPACE,
    ROLE_BINDING,
    SECRET,
    Manifest,
    kind_of,
    object_id,
    place_in,
    split_id,
    title,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.apply.apply_state import ApplyState
from apps.dataplane.kubernetes.apply.hibernating import without_pause
from apps.dataplane.kubernetes.apply.named_namespaces import refuse_to_take
from apps.dataplane.kubernetes.apply.nudge_configmaps import (
    ENVIRONMENT_ANNOTATION,
    nudge_configmaps,
)
from apps.dataplane.kubernetes.apply.pruning import prune
from apps.dataplane.kubernetes.apply.rollout import HEALTHY, healthy_step, stage_step
from apps.dataplane.kubernetes.names import restore_job
from apps.dataplane.kubernetes.observe.objects.drift import CREATED_ONCE
from apps.dataplane.kubernetes.observe.objects.inventory import FAILED, FOREIGN, Entry
from apps.dataplane.kubernetes.observe.objects.live_objects import WHOLE, owned_namespace
from apps.dataplane.kubernetes.observe.objects.managers import added_fields, adopted
from apps.dataplane.kubernetes.render.pods.pods import ENVIRONMENT_SECRET
from apps.dataplane.kubernetes.render.stages import Stage, waves
from apps.dataplane.spec import DeploymentSpec
from apps.dataplane.status import Progress, Step

ROLE_SECONDS = 0.5
OVER = ("done", "skipped")
PRUNING = Step(key="prune", title="Remove what is no longer needed", state="running")


class ApplyPass:
    """The state of one pass; made anew for each."""

    def __init__(
        self, *, api: Api, portal_id: str, spec: DeploymentSpec, stages: tuple[Stage, ...]
    ) -> None:
        self.api = api
        self.spec = spec
        self.stages = stages
        self.owner = (portal_id, spec.ref)
        self.state = ApplyState(api=api, portal_id=portal_id, spec=spec, stages=stages)
        self.now = datetime.now(UTC)

    def run(self) -> Progress:
        """Do what can be done now. Raises Permanent where a person must act."""
        portal_id, ref = self.owner
        namespace = owned_namespace(self.api, portal_id=portal_id, ref=ref)
        if namespace is not None:
            self.state.look(namespace)
        self.state.refuse_older()
        if self.state.is_true():
            self.state.save()
            same = [Step(key=s.key, title=s.title, state="skipped") for s in self.stages]
            return _progress([*same, healthy_step(self.state, now=self.now)])
        try:
            return self._drive(namespace)
        except DataPlaneError:
            # What was applied before the failure is known to the next pass; if not, it is applied
            # once more.
            with suppress(DataPlaneError):
                self.state.save()
            raise

    def _drive(self, namespace: Manifest | None) -> Progress:
        if namespace is None:
            self._make_namespace()
        self._end_restoration()
        self.state.announce()
        steps: list[Step] = []
        for wave in waves(self.stages):
            pending = self._apply_wave(wave)
            steps += [self._step_of(stage, pending) for stage in wave]
            if steps[-1].state not in OVER:
                self.state.save()
                later = self.stages[len(steps) :]
                steps += [Step(key=s.key, title=s.title, state="waiting") for s in later]
                return _progress([*steps, HEALTHY])
        steps.append(healthy_step(self.state, now=self.now))
        if steps[-1].state not in OVER:
            self.state.save()
            return _progress(steps)
        return self._finish(steps)

    def _make_namespace(self) -> None:
        """Apply the Namespace before all else, because the inventory is stored in it."""
        if self.api.connection.namespaces:
            refuse_to_take(self.api, self.state.namespace)
        for manifest in self.state.manifests():
            name = manifest["metadata"]["name"]
            if kind_of(manifest) == NAMESPACE and name == self.state.namespace:
                self._apply(manifest)

    def _end_restoration(self) -> None:
        """Delete the Job of a restore that another revision came in place of."""
        key, restore = self.state.inventory.restoring, self.spec.restore
        if not key or (restore is not None and restore.key == key):
            return
        job = self.api.find(JOB, restore_job(key), namespace=self.state.namespace)
        if job is not None:
            metadata = job["metadata"]
            self.api.delete(
                JOB, metadata["name"], namespace=self.state.namespace, uid=metadata["uid"]
            )
        self.state.inventory = replace(self.state.inventory, restoring="")

    def _step_of(self, stage: Stage, pending: set[str]) -> Step:
        """Say how far a stage is; without an object to apply there was nothing to do for it."""
        step = stage_step(self.state, stage, now=self.now)
        is_same = pending.isdisjoint(object_id(manifest) for manifest in stage.objects)
        return replace(step, state="skipped") if step.state == "done" and is_same else step

    def _apply_wave(self, wave: list[Stage]) -> set[str]:
        """Apply what differs, Roles before what grants them: what is not there cannot be granted.
        Returns the ids of what was applied.
        """
        pending = [m for stage in wave for m in stage.objects if self.state.differs(m)]
        in_parallel(self._apply, [m for m in pending if kind_of(m) != ROLE_BINDING])
        in_parallel(self._apply, [m for m in pending if kind_of(m) == ROLE_BINDING])
        self._nudge_readers(pending)
        return {object_id(manifest) for manifest in pending}

    def _nudge_readers(self, applied: list[Manifest]) -> None:
        """Let running pods see connections and variables that changed."""
        for manifest in applied:
            if kind_of(manifest) == SECRET and manifest["metadata"]["name"] == ENVIRONMENT_SECRET:
                digest = hashlib.sha256(self.spec.environment.encode()).hexdigest()
                portal_id, ref = self.owner
                nudge_configmaps(
                    self.api,
                    portal_id=portal_id,
                    ref=ref,
                    digest=digest,
                    annotation=ENVIRONMENT_ANNOTATION,
                )

    def _apply(self, manifest: Manifest) -> None:
        one, kind = object_id(manifest), kind_of(manifest)
        if kind == JOB and self.state.entries.get(one, Entry()).mark == FAILED:
            self._delete_job(one)
        try:
            live = self.api.apply(manifest, metadata_only=kind not in WHOLE)
        except NotFound as error:
            if kind != ROLE_BINDING:
                raise
            # The API server reads Roles from a cache that may not have this one yet.
            raise Temporary(error.message, retry_after_seconds=ROLE_SECONDS) from None
        except Refused as error:
            if not error.is_immutable:
                raise
            raise self._immutable(one, error) from None
        if kind not in CREATED_ONCE and added_fields(live):
            live = self._without_additions(manifest, live)
        live = without_pause(self.api, manifest, live)
        live["metadata"].pop("managedFields", None)
        if one not in self.state.live:
            self.state.made.add(one)
        self.state.note(manifest, live)

    def _without_additions(self, manifest: Manifest, live: Manifest) -> Manifest:
        """Remove what others added: the fields become the portal's, and its next apply lacks them.
        Where drift is only reported, the object keeps them and counts as moved; so does one to
        which they were added again at once.
        """
        if not self.spec.corrects_drift:
            return _moved(live)
        kind, metadata = kind_of(manifest), live["metadata"]
        version = metadata["resourceVersion"]
        fields = {"managedFields": adopted(live), "resourceVersion": version}
        namespace = metadata.get("namespace", "")
        self.api.merge(kind, metadata["name"], {"metadata": fields}, namespace=namespace)
        live = self.api.apply(manifest, metadata_only=kind not in WHOLE)
        return _moved(live) if added_fields(live) else live

    def _immutable(self, one: str, error: Refused) -> DataPlaneError:
        """Delete a Job that must be replaced; report every other immutable object."""
        if split_id(one)[0] == JOB:
            self._delete_job(one)
            return Temporary(f"{title(one)} is being recreated.")
        return Permanent(
            f"{error.message} This part of {title(one)} cannot be changed in place: "
            "delete it with kubectl, and the portal recreates it."
        )

    def _delete_job(self, one: str) -> None:
        """Delete a Job that ran, so that one of the same name can be created."""
        kind, name = split_id(one)
        live = self.state.live.pop(one, None)
        if live is None:
            return
        place = place_in(one, self.state.namespace)
        self.api.delete(kind, name, namespace=place, uid=live["metadata"]["uid"])
        self.state.entries[one] = Entry()

    def _finish(self, steps: list[Step]) -> Progress:
        gone, left = prune(
            self.api,
            namespace=self.state.namespace,
            unwanted=self.state.unwanted(),
            live=self.state.live,
            owner=self.owner,
        )
        for one in gone:
            del self.state.entries[one]
        if left:
            self.state.save()
            return _progress([*steps, replace(PRUNING, detail=left[0])])
        portal_id, ref = self.owner
        code = self.spec.code.digest if self.spec.code else ""
        if code != self.state.inventory.code_digest:
            nudge_configmaps(self.api, portal_id=portal_id, ref=ref, digest=code)
        self.state.finish()
        return _progress(steps)


def _moved(live: Manifest) -> Manifest:
    return {**live, "metadata": {**live["metadata"], "mark": FOREIGN}}


def _progress(steps: list[Step]) -> Progress:
    return Progress(steps=tuple(steps), is_done=all(step.state in OVER for step in steps))
