"""Observe Deployments of a cluster: one, or all for the price of a few LISTs."""

from collections.abc import Iterator
from datetime import UTC, datetime

from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    INGRESS,
    JOB,
    KINDS,
    NAMESPACE,
    POD,
    QUOTA,
    SCALED_OBJECT,
    STATEFUL_SET,
    STORAGE_CLASS,
    Kind,
    Manifest,
    place_in,
    split_id,
)
from apps.dataplane.kubernetes.api.parallel import in_parallel
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import INVENTORY
from apps.dataplane.kubernetes.observe.objects.inventory import inventory_in
from apps.dataplane.kubernetes.observe.objects.live_objects import is_ours, selector
from apps.dataplane.kubernetes.observe.objects.snapshots import project, ref_of, selection
from apps.dataplane.kubernetes.observe.observation import nothing, observation_of
from apps.dataplane.status import Observation

WHOLE = (NAMESPACE, DEPLOYMENT, STATEFUL_SET, JOB, POD, QUOTA, SCALED_OBJECT, EVENT)
# Not created by the portal, or observed otherwise.
_APART = (NAMESPACE, AUTOSCALER, STORAGE_CLASS, INGRESS, EVENT)
Objects = dict[str, list[Manifest]]


def observe_deployment(api: Api, *, config: ClusterConfig, ref: str) -> Observation:
    """Observe one Deployment. Objects that are not this portal's are ignored."""
    now, home = datetime.now(UTC), api.home(ref)
    namespace = api.find(NAMESPACE, home)
    if namespace is None or not is_ours(namespace, portal_id=config.portal_id, ref=ref):
        return nothing(now)
    labels = selector(portal_id=config.portal_id, ref=ref)
    kept = api.find(CONFIG_MAP, INVENTORY, namespace=home)
    made = [one for one in inventory_in(kept).entries if place_in(one, home) == home]
    kinds = {DEPLOYMENT, STATEFUL_SET, POD, SCALED_OBJECT, *(split_id(one)[0] for one in made)}

    def read(kind: Kind) -> list[Manifest]:
        chosen = {"fields": "type=Warning"} if kind == EVENT else {"labels": labels}
        found = api.list(
            kind,
            namespace=home,
            metadata_only=kind not in WHOLE,
            may_be_forbidden=True,
            **chosen,
        )
        return [project(kind, item) for item in found]

    asked = [*(kind for kind in kinds if kind.is_namespaced), EVENT]
    lists = in_parallel(read, asked)
    objects: Objects = {kind.name: found for kind, found in zip(asked, lists, strict=True)}
    objects["Namespace"] = [project(NAMESPACE, namespace)]
    _put_inventory(objects, kept)
    return observation_of(
        objects, ref=ref, now=now, airflow_url=config.airflow_url, has_keda=config.has_keda
    )


def survey(api: Api, *, config: ClusterConfig) -> Iterator[tuple[str, Observation]]:
    """Yield ref and observation of every Deployment of the portal in the cluster.

    The LISTs are cluster-wide and paged: their number grows with objects, not with Deployments. In
    a cluster with named namespaces they are of each that a Deployment took.
    """
    now = datetime.now(UTC)
    by_ref: dict[str, Objects] = {}
    kinds = [kind for kind in KINDS if kind not in _APART]
    for namespace in _namespaces(api, config):
        ref = ref_of(namespace)
        if is_ours(namespace, portal_id=config.portal_id, ref=ref):
            by_ref[ref] = {kind.name: [] for kind in kinds} | {"Namespace": [namespace]}
    for kind in kinds:
        for item in _all(api, kind, config):
            objects = by_ref.get(ref_of(item))
            if objects and item["metadata"].get("namespace") == api.home(ref_of(item)):
                objects[kind.name].append(item)
    for inventory in _all(api, CONFIG_MAP, config, labels=selection_of_inventories(config)):
        objects = by_ref.get(ref_of(inventory))
        if objects:
            _put_inventory(objects, inventory)
    for ref in list(by_ref):
        objects = by_ref.pop(ref)
        yield (
            ref,
            observation_of(
                objects, ref=ref, now=now, airflow_url=config.airflow_url, has_keda=config.has_keda
            ),
        )


def selection_of_inventories(config: ClusterConfig) -> str:
    """Return the label selector of the inventories of a portal."""
    return selection(CONFIG_MAP, portal_id=config.portal_id)["labels"]


def _all(api: Api, kind: Kind, config: ClusterConfig, *, labels: str = "") -> Iterator[Manifest]:
    is_whole = kind in WHOLE or bool(labels)
    for scope in api.connection.scopes:
        pages = api.pages(
            kind,
            namespace=scope,
            labels=labels or selector(portal_id=config.portal_id),
            metadata_only=not is_whole,
            may_be_unknown=True,
            may_be_forbidden=True,
        )
        for page in pages:
            for item in page.items:
                yield project(kind, item)


def _namespaces(api: Api, config: ClusterConfig) -> Iterator[Manifest]:
    """Yield the namespaces of Deployments: whoever may not list them reads each."""
    if not config.connection.namespaces:
        yield from _all(api, NAMESPACE, config)
        return
    for home in config.connection.homes.values():
        namespace = api.find(NAMESPACE, home)
        if namespace is not None:
            yield project(NAMESPACE, namespace)


def _put_inventory(objects: Objects, inventory: Manifest | None) -> None:
    others = [
        item for item in objects.get("ConfigMap", ()) if item["metadata"]["name"] != INVENTORY
    ]
    objects["ConfigMap"] = [*others, project(CONFIG_MAP, inventory)] if inventory else others
