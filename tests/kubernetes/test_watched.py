"""What watches have told, kept small: pure, with a clock of its own."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from apps.dataplane.kubernetes.api.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, NAMESPACE, POD, Kind
from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.dataplane.kubernetes.names import COMPONENT_LABEL, DEPLOYMENT_LABEL, INVENTORY
from apps.dataplane.kubernetes.observe.objects.inventory import KEY
from apps.dataplane.kubernetes.observe.objects.snapshots import WATCHED
from apps.dataplane.kubernetes.observe.watch_cache import WatchCache
from apps.dataplane.status import Observation

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONFIG = ClusterConfig(
    connection=Connection(server="https://k.test", ca_certificate=""),
    portal_id="p1",
    airflow_url="http://airflow.test",
    has_keda=True,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(kind: Kind, name: str, ref: str, *, component: str = "", **parts: Any) -> dict[str, Any]:
    labels = {DEPLOYMENT_LABEL: ref, COMPONENT_LABEL: component}
    metadata = {"name": name, "uid": f"{ref}/{name}", "labels": labels, "generation": 1}
    if kind.is_namespaced:
        metadata["namespace"] = f"airflow-{ref}"
    return {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata, **parts}


@pytest.fixture
def shared(clock: Clock) -> WatchCache:
    """A cluster that names its namespaces: `a` took the first, `b` the second."""
    homes = {"a": "team-1", "b": "team-2"}
    connection = replace(CONFIG.connection, namespaces=("team-1", "team-2", "team-3"), homes=homes)
    return WatchCache(replace(CONFIG, connection=connection), clock=clock)


def at(home: str, item: dict[str, Any]) -> dict[str, Any]:
    """Put an object into a named namespace, or make it that one."""
    field = "namespace" if "namespace" in item["metadata"] else "name"
    return {**item, "metadata": {**item["metadata"], field: home}}


def listed_in(watched: WatchCache, home: str, **items: list[dict[str, Any]]) -> None:
    for kind in WATCHED:
        watched.replace(kind, items.get(kind.plural, []), scope=home)


def namespace(ref: str) -> dict[str, Any]:
    return made(NAMESPACE, f"airflow-{ref}", ref)


def workload(ref: str, name: str = "scheduler", *, ready: int = 1) -> dict[str, Any]:
    status = {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": [],
    }
    spec = {"replicas": 1, "template": {"spec": "long" * 100}}
    return made(DEPLOYMENT, name, ref, component=name, spec=spec, status=status)


def listed(watched: WatchCache, **items: list[dict[str, Any]]) -> None:
    for kind in WATCHED:
        watched.replace(kind, items.get(kind.plural, []))


def observations(watched: WatchCache) -> dict[str, Observation]:
    return {ref: look for ref, look, _ in watched.observations(now=NOW)}


def test_all_is_told_once_when_every_kind_was_listed(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    watched.replace(NAMESPACE, [namespace("a"), namespace("b")])
    assert observations(watched) == {}

    listed(watched, namespaces=[namespace("a"), namespace("b")], deployments=[workload("a")])

    found = observations(watched)
    assert sorted(found) == ["a", "b"]
    assert [one.name for one in found["a"].components] == ["scheduler"]
    assert observations(watched) == {}


def test_an_event_is_told_and_one_that_changes_nothing_is_not(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")], deployments=[workload("a")])
    observations(watched)
    clock.now += 2

    watched.take(DEPLOYMENT, {"type": "MODIFIED", "object": workload("a", ready=0)})
    assert observations(watched)["a"].components[0].ready == 0
    clock.now += 2
    watched.take(DEPLOYMENT, {"type": "MODIFIED", "object": workload("a", ready=0)})
    watched.take(DEPLOYMENT, {"type": "BOOKMARK", "object": {"metadata": {}}})

    assert observations(watched) == {}


def test_a_stream_of_events_is_told_once_a_second(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")], deployments=[workload("a")])
    observations(watched)

    told = 0
    for number in range(20):
        clock.now += 0.25
        event = workload("a", ready=number % 2)
        watched.take(DEPLOYMENT, {"type": "MODIFIED", "object": event})
        told += len(observations(watched))

    assert told <= 5


def test_while_a_watch_is_cut_nothing_is_told(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")], deployments=[workload("a")])
    observations(watched)
    clock.now += 2
    watched.is_cut(POD)
    watched.take(DEPLOYMENT, {"type": "MODIFIED", "object": workload("a", ready=0)})

    assert observations(watched) == {}
    watched.replace(POD, [])

    assert "a" in observations(watched)


def test_what_a_new_list_does_not_have_is_gone(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    both = [workload("a"), workload("a", "api-server")]
    listed(watched, namespaces=[namespace("a")], deployments=both)
    observations(watched)
    clock.now += 2

    watched.replace(DEPLOYMENT, [workload("a")])

    assert [one.name for one in observations(watched)["a"].components] == ["scheduler"]


def test_a_deleted_namespace_is_told_and_forgotten(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")], deployments=[workload("a")])
    observations(watched)
    clock.now += 2

    watched.take(NAMESPACE, {"type": "DELETED", "object": namespace("a")})

    assert not observations(watched)["a"].exists
    clock.now += 2
    assert observations(watched) == {}


def test_events_of_other_namespaces_are_not_kept(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")])
    observations(watched)
    clock.now += 2
    event = made(
        EVENT, "e1", "", reason="BackOff", message="Back-off", lastTimestamp=NOW.isoformat()
    )
    event["metadata"]["labels"] = {}

    event["metadata"]["namespace"] = "somebody-else"
    watched.take(EVENT, {"type": "ADDED", "object": event})
    assert observations(watched) == {}
    event["metadata"]["namespace"] = "airflow-a"
    watched.take(EVENT, {"type": "ADDED", "object": event})

    notices = observations(watched)["a"].notices
    assert notices is not None
    assert [one.reason for one in notices] == ["BackOff"]


def test_drift_is_judged_by_kinds_that_are_watched_alone(clock: Clock) -> None:
    entries = {
        "apps/Deployment/scheduler": {"hash": "h", "uid": "a/scheduler", "mark": "1"},
        "apps/Deployment/triggerer": {"hash": "h", "uid": "a/triggerer", "mark": "1"},
        "/ConfigMap/airflow": {"hash": "h", "uid": "u", "mark": "1"},
    }
    kept = {"revision": 3, "wanted": 3, "entries": entries}
    inventory = made(CONFIG_MAP, INVENTORY, "a", component="inventory")
    inventory["data"] = {KEY: orjson.dumps(kept).decode()}
    watched = WatchCache(CONFIG, clock=clock)

    listed(
        watched,
        namespaces=[namespace("a")],
        configmaps=[inventory],
        deployments=[workload("a")],
    )

    look = observations(watched)["a"]
    assert look.applied_revision == 3
    assert "Deployment/triggerer" in [one.object for one in look.drift]
    assert "ConfigMap/airflow" not in [one.object for one in look.drift]
    assert look.checked_for_drift is not None
    assert "ConfigMap" not in look.checked_for_drift


def test_what_starts_is_looked_at_again_although_nothing_happens(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")], deployments=[workload("a", ready=0)])
    observations(watched)
    clock.now += 16
    later = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)

    found = {ref: look for ref, look, _ in watched.observations(now=later)}

    assert found == {} or found["a"].health != "healthy"


def test_what_was_not_written_is_told_again(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    listed(watched, namespaces=[namespace("a")])
    observations(watched)
    clock.now += 2

    watched.report_again()

    assert list(observations(watched)) == ["a"]


def test_a_thousand_deployments_take_a_few_megabytes(clock: Clock) -> None:
    watched = WatchCache(CONFIG, clock=clock)
    pods = [
        made(
            POD,
            f"worker-{number}-7c9f",
            f"d{ref}",
            component="worker",
            spec={"containers": [{"name": "worker", "env": ["x" * 1000]}]},
            status={"phase": "Running", "containerStatuses": [{"name": "worker", "ready": True}]},
        )
        for ref in range(100)
        for number in range(20)
    ]
    listed(watched, namespaces=[namespace(f"d{ref}") for ref in range(100)], pods=pods)
    assert len(observations(watched)) == 100

    kept = sum(len(one.packed) for one in watched._kept.values())

    assert kept < 100 * 2_000


def test_named_namespaces_are_told_when_all_of_them_were_listed(shared: WatchCache) -> None:
    for ref, home in (("a", "team-1"), ("b", "team-2")):
        assert observations(shared) == {}
        there, runs = at(home, namespace(ref)), at(home, workload(ref))
        listed_in(shared, home, namespaces=[there], deployments=[runs])

    assert sorted(observations(shared)) == ["a", "b"]


def test_a_list_of_one_named_namespace_ends_nothing_in_another(
    shared: WatchCache, clock: Clock
) -> None:
    for ref, home in (("a", "team-1"), ("b", "team-2")):
        there, runs = at(home, namespace(ref)), at(home, workload(ref))
        listed_in(shared, home, namespaces=[there], deployments=[runs])
    observations(shared)
    clock.now += 2

    shared.replace(DEPLOYMENT, [], scope="team-2")

    found = observations(shared)
    assert list(found) == ["b"]
    assert found["b"].components == ()


def test_what_was_seen_before_its_named_namespace_is_not_lost(
    shared: WatchCache, clock: Clock
) -> None:
    listed_in(shared, "team-1")
    listed_in(shared, "team-2")
    shared.take(DEPLOYMENT, {"type": "ADDED", "object": at("team-1", workload("a"))})
    assert observations(shared) == {}, "nothing is said of one whose namespace is not marked yet"
    clock.now += 2

    shared.replace(NAMESPACE, [at("team-1", namespace("a"))], scope="team-1")

    assert [one.name for one in observations(shared)["a"].components] == ["scheduler"]
    clock.now += 2
    shared.replace(NAMESPACE, [], scope="team-1")
    assert not observations(shared)["a"].exists


def test_labels_left_from_an_earlier_deployment_of_a_named_namespace_count_for_none(
    shared: WatchCache,
) -> None:
    left = at("team-1", workload("b", "api-server"))
    there, runs = at("team-1", namespace("a")), at("team-1", workload("a"))
    listed_in(shared, "team-1", namespaces=[there], deployments=[runs, left])
    listed_in(shared, "team-2", namespaces=[at("team-2", namespace("b"))])

    found = observations(shared)

    assert [one.name for one in found["a"].components] == ["scheduler"]
    assert found["b"].components == ()


def test_warnings_of_a_named_namespace_are_of_the_deployment_that_took_it(
    shared: WatchCache, clock: Clock
) -> None:
    for ref, home in (("a", "team-1"), ("b", "team-2")):
        listed_in(shared, home, namespaces=[at(home, namespace(ref))])
    observations(shared)
    clock.now += 2
    event = made(EVENT, "e1", "", reason="BackOff", lastTimestamp=NOW.isoformat())
    del event["metadata"]["labels"][DEPLOYMENT_LABEL]

    for home in ("team-2", "team-3"):
        shared.take(EVENT, {"type": "ADDED", "object": at(home, event)})

    found = observations(shared)
    assert list(found) == ["b"]
    assert [one.reason for one in found["b"].notices or ()] == ["BackOff"]
