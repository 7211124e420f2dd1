import copy

import pytest

from apps.dataplane.kubernetes import names
from apps.dataplane.kubernetes.observe.objects import inventory
from apps.dataplane.kubernetes.observe.objects.inventory import (
    Entry,
    Inventory,
    entry_of,
    has_moved,
    inventory_in,
)
from tests.dataplane.kubernetes_driver.objects import deployment, thing


def kept(**entries: Entry) -> Inventory:
    return Inventory(revision=3, wanted=4, code_digest="ab", entries=dict(entries), exists=True)


def test_it_reads_what_it_wrote() -> None:
    before = kept(**{"apps/Deployment/scheduler": Entry(hash="h", uid="u", mark="g1")})

    manifest = inventory.manifest_of(before, namespace="airflow-x", labels={"a": "b"})

    assert inventory_in(manifest) == before
    assert manifest["metadata"]["labels"]["a"] == "b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"entries": []}',
        '{"entries": {"apps/Deployment/x": 1}}',
        '{"revision": "x"}',
        '{"entries": {"apps/Deployment/x": {"uid": 1}}}',
    ],
)
def test_a_spoilt_inventory_is_an_empty_one(text: str) -> None:
    found = inventory_in({"data": {inventory.KEY: text}})

    assert found.exists
    assert found.revision == 0
    assert not found.entries


def test_kinds_that_nobody_knows_are_left_out() -> None:
    text = '{"entries": {"evil.test/Thing/x": {"hash": "", "uid": "", "mark": ""}}}'

    assert not inventory_in({"data": {inventory.KEY: text}}).entries


def test_no_inventory_is_told_from_an_empty_one() -> None:
    assert not inventory_in(None).exists


def test_announcing_keeps_what_is_known() -> None:
    known = Entry(hash="h", uid="u", mark="g1")

    announced = kept(**{"/Secret/a": known}).announcing(["/Secret/a", "/Secret/b"], wanted=9)

    assert announced.entries == {"/Secret/a": known, "/Secret/b": Entry()}
    assert announced.wanted == 9


def test_scaling_is_a_move_only_of_what_no_autoscaler_rules() -> None:
    fixed, ruled = {"spec": {"replicas": 1}}, {"spec": {}}
    before, after = deployment(wanted=1), deployment(wanted=5)

    assert has_moved(entry_of(before, manifest=fixed, hash=""), after)
    assert not has_moved(entry_of(before, manifest=ruled, hash=""), after)


def test_a_change_of_a_workload_is_a_move_and_its_status_is_not() -> None:
    before = deployment()
    entry = entry_of(before, manifest={"spec": {}}, hash="")
    changed = copy.deepcopy(before)
    changed["spec"]["template"] = {"spec": {"containers": []}}
    busy = copy.deepcopy(before)
    busy["status"]["readyReplicas"] = 0
    busy["metadata"]["resourceVersion"] = "99"

    assert has_moved(entry, changed)
    assert not has_moved(entry, busy)


@pytest.mark.parametrize("kind", ["Namespace", "ResourceQuota", "PersistentVolumeClaim"])
def test_what_the_cluster_itself_writes_to_never_moves(kind: str) -> None:
    entry = entry_of(thing(kind), manifest={}, hash="")

    assert not has_moved(entry, thing(kind, metadata={"resourceVersion": "7", "generation": 8}))


@pytest.mark.parametrize("kind", ["Namespace", "ResourceQuota", "ScaledObject", "Deployment"])
@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_a_key_of_ours_that_is_changed_or_gone_is_a_move_and_one_of_others_is_not(
    kind: str, part: str
) -> None:
    before = thing(kind, metadata={part: {names.REVISION_ANNOTATION: "1"}})
    entry = entry_of(before, manifest={}, hash="")
    changed = thing(kind, metadata={part: {names.REVISION_ANNOTATION: "2"}})
    foreign = copy.deepcopy(before)
    foreign["metadata"][part]["app.kubernetes.io/part-of"] = "theirs"

    assert has_moved(entry, changed)
    assert has_moved(entry, thing(kind))
    assert not has_moved(entry, foreign)


def test_claims_and_namespaces_are_never_pruned() -> None:
    entries = {
        "/Namespace/airflow-x": Entry(),
        "/PersistentVolumeClaim/logs": Entry(),
        "/Secret/old": Entry(),
        "/Secret/kept": Entry(),
    }
    rendered = [thing("Secret", "kept")]

    assert set(inventory.unwanted(kept(**entries), rendered)) == {"/Secret/old"}
