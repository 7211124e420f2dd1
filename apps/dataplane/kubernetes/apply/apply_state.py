"""What a pass knows: what is wanted, what was applied before, and what exists now."""

from collections.abc import Iterator
from dataclasses import replace

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import CONFIG_MAP, NAMESPACE, Manifest, object_id
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.names import (
    DEPLOYMENT_LABEL,
    INVENTORY,
    ONCE_ANNOTATION,
    PORTAL_LABEL,
)
from apps.dataplane.kubernetes.observe.objects.drift import differences
from apps.dataplane.kubernetes.observe.objects.inventory import (
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
from apps.dataplane.kubernetes.observe.objects.live_objects import live_objects, selector
from apps.dataplane.kubernetes.render.stages import Stage
from apps.dataplane.spec import DeploymentSpec


class ApplyState:
    """One Deployment in one pass. `entries` and `live` are by object id and follow what the pass
    does; `made` are the ids of objects that did not exist before. `save` writes the entries to the
    cluster.
    """

    def __init__(
        self, *, api: Api, portal_id: str, spec: DeploymentSpec, stages: tuple[Stage, ...]
    ) -> None:
        self.api = api
        self.portal_id = portal_id
        self.spec = spec
        self.stages = stages
        self.namespace = api.home(spec.ref)
        self.inventory = Inventory()
        self.entries: dict[str, Entry] = {}
        self.live: dict[str, Manifest] = {}
        self.made: set[str] = set()
        self._hashes = {object_id(m): hash_of(m) for m in self.manifests()}
        self._saved = Inventory()

    def manifests(self) -> Iterator[Manifest]:
        """Yield all that is wanted, in the order of the stages."""
        return (manifest for stage in self.stages for manifest in stage.objects)

    def look(self, namespace: Manifest) -> None:
        """Read what was applied and what exists, in one request per kind."""
        self.inventory = self._saved = inventory_in(
            self.api.find(CONFIG_MAP, INVENTORY, namespace=self.namespace)
        )
        self.entries = dict(self.inventory.entries)
        home = object_id(namespace)
        self.live = live_objects(
            self.api,
            home=self.namespace,
            ids=[one for one in {**self._hashes, **self.entries} if one != home],
            labels=selector(portal_id=self.portal_id, ref=self.spec.ref),
        )
        self.live[home] = namespace
        self._keep_claims()
        if not self.spec.corrects_drift:
            self._forgive()

    def refuse_older(self) -> None:
        """Raise Temporary if a newer revision was begun here."""
        if self.inventory.wanted > self.spec.revision:
            raise Temporary(
                f"Revision {self.inventory.wanted} is on the cluster already, "
                f"so revision {self.spec.revision} is not applied."
            )

    def is_true(self) -> bool:
        """Return whether nothing is left to send."""
        return (
            self.inventory.revision == self.inventory.wanted == self.spec.revision
            and not any(self.differs(manifest) for manifest in self.manifests())
            and not self.unwanted()
        )

    def differs(self, manifest: Manifest) -> bool:
        """Return whether an object must be applied."""
        one = object_id(manifest)
        entry, live = self.entries.get(one, Entry()), self.live.get(one)
        if entry.hash != self._hashes[one] or entry.mark == FAILED:
            return True
        if entry.mark == COMPLETED:
            # A Job that is done may be tidied away by the cluster.
            return False
        if live is None or live["metadata"].get("uid") != entry.uid:
            return True
        return self.spec.corrects_drift and has_moved(entry, live)

    def unwanted(self) -> dict[str, Entry]:
        """Return what was applied before and is not wanted any more."""
        return unwanted(self.inventory, self.manifests())

    def announce(self) -> None:
        """Record what is about to be created, before it is."""
        self.inventory = self.inventory.announcing(self._hashes, wanted=self.spec.revision)
        self.entries = {**self.inventory.entries, **self.entries}
        self.save()

    def note(self, manifest: Manifest, live: Manifest) -> None:
        """Record the result of applying an object."""
        one = object_id(manifest)
        self.live[one] = live
        self.entries[one] = entry_of(live, manifest=manifest, hash=self._hashes[one])

    def mark(self, one: str, mark: str) -> None:
        """Record how a Job ended."""
        self.entries[one] = replace(self.entries[one], mark=mark)

    def finish(self) -> None:
        """Record that this revision is applied completely."""
        code = self.spec.code.digest if self.spec.code else ""
        self.inventory = replace(self.inventory, revision=self.spec.revision, code_digest=code)
        self.save()

    def save(self) -> None:
        """Write the inventory, if it changed and there is a namespace to write it to."""
        self.inventory = replace(self.inventory, entries=dict(self.entries), exists=True)
        if self.inventory == self._saved or f"{NAMESPACE.key}/{self.namespace}" not in self.live:
            return
        labels = {PORTAL_LABEL: self.portal_id, DEPLOYMENT_LABEL: self.spec.ref}
        manifest = manifest_of(self.inventory, namespace=self.namespace, labels=labels)
        self.api.apply(manifest, metadata_only=True)
        self._saved = self.inventory

    def _keep_claims(self) -> None:
        """Accept claims as they are: hardly any field of them may be changed later."""
        for manifest in self.manifests():
            annotations = manifest["metadata"].get("annotations") or {}
            live = self.live.get(object_id(manifest))
            if live is not None and annotations.get(ONCE_ANNOTATION) == "true":
                self.note(manifest, live)

    def _forgive(self) -> None:
        """Record marks that moved without a change of our fields, so that they are no drift."""
        moved = [manifest for manifest in self.manifests() if self._has_moved(manifest)]
        fields = in_parallel(lambda manifest: differences(self.api, manifest), moved)
        for manifest, different in zip(moved, fields, strict=True):
            if different == {}:
                self.note(manifest, self.live[object_id(manifest)])

    def _has_moved(self, manifest: Manifest) -> bool:
        one = object_id(manifest)
        entry, live = self.entries.get(one, Entry()), self.live.get(one)
        return live is not None and entry.hash == self._hashes[one] and has_moved(entry, live)
