"""How passes of the Kubernetes plane go, and what they cost, against a real API server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from apps.dataplane.errors import Temporary
from apps.dataplane.kubernetes.api.client import Api
from apps.dataplane.kubernetes.api.transport import Transport
from apps.dataplane.kubernetes.config import ClusterConfig
from apps.dataplane.kubernetes.names import INVENTORY, namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.dataplane.specs import DEFAULT_QUEUE, make_spec
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import differences, generations, remove, settle, small_spec


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Note every request of this process to a cluster."""
    calls: list[tuple[str, str]] = []
    real = Transport.request

    def request(self, method, path, **more):  # noqa: ANN001, ANN003, ANN202
        calls.append((method, path))
        return real(self, method, path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Transport, "request", request)
        yield calls


def newest_version(control_plane: ControlPlane) -> int:
    text = control_plane.kubectl("get", "--raw", "/api/v1/namespaces?limit=1")
    return int(json.loads(text)["metadata"]["resourceVersion"])


def test_a_pass_without_news_writes_nothing_and_asks_once_per_kind(
    control_plane: ControlPlane,
    kubernetes_plane: KubernetesPlane,
    ref: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(ref)
    settle(kubernetes_plane, spec)

    with recorded(monkeypatch) as calls:
        progress = kubernetes_plane.apply(spec=spec)

    assert progress.is_done
    assert {method for method, _ in calls} == {"GET"}
    assert len(calls) == len(set(calls)) <= 20


def test_what_is_there_is_what_was_rendered(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    ref: str,
) -> None:
    spec = make_spec(ref)

    settle(kubernetes_plane, spec)

    assert differences(control_plane, cluster_config, spec) == ""


def test_an_edit_touches_only_what_it_changes(
    control_plane: ControlPlane,
    kubernetes_plane: KubernetesPlane,
    ref: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(ref)
    settle(kubernetes_plane, spec)
    before = generations(control_plane, ref)
    wider = replace(DEFAULT_QUEUE, name="heavy")

    with recorded(monkeypatch) as calls:
        settle(kubernetes_plane, replace(spec, revision=2, queues=(DEFAULT_QUEUE, wider)))

    after = generations(control_plane, ref)
    assert {name: after[name] for name in before} == before
    assert "worker-heavy" in after
    touched = {path.rsplit("/", 1)[1] for method, path in calls if method == "PATCH"}
    assert not touched & {"scheduler", "api-server", "worker-default"}


def test_what_is_not_wanted_any_more_goes_and_nothing_else(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    heavy = replace(DEFAULT_QUEUE, name="heavy")
    settle(kubernetes_plane, make_spec(ref, queues=(DEFAULT_QUEUE, heavy)))
    namespace = namespace_of(ref)
    control_plane.kubectl("create", "configmap", "of-somebody-else", "-n", namespace)

    settle(kubernetes_plane, make_spec(ref, revision=2))

    assert not control_plane.exists("deployment", "worker-heavy", "-n", namespace)
    assert not control_plane.exists("scaledobject", "worker-heavy", "-n", namespace)
    assert control_plane.exists("deployment", "worker-default", "-n", namespace)
    assert control_plane.exists("configmap", "of-somebody-else", "-n", namespace)


def test_an_object_that_somebody_made_anew_is_not_pruned(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    heavy = replace(DEFAULT_QUEUE, name="heavy")
    settle(kubernetes_plane, make_spec(ref, queues=(DEFAULT_QUEUE, heavy)))
    where = ("-n", namespace_of(ref))
    control_plane.kubectl("delete", "scaledobject", "worker-heavy", *where)
    theirs = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker-heavy", "namespace": namespace_of(ref)},
        "spec": {
            "scaleTargetRef": {"name": "theirs"},
            "triggers": [{"type": "cpu", "metadata": {}}],
        },
    }
    control_plane.create(theirs)

    settle(kubernetes_plane, make_spec(ref, revision=2))

    assert control_plane.exists("scaledobject", "worker-heavy", *where)


class Interrupted(BaseException):
    """The worker dies."""


def test_a_worker_may_die_at_any_request(
    control_plane: ControlPlane,
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    ref: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heavy = replace(DEFAULT_QUEUE, name="heavy")
    first, second = small_spec(ref), make_spec(ref, revision=2, queues=(DEFAULT_QUEUE, heavy))
    real = Transport.request
    left = [0]

    def request(self, method, path, **more):  # noqa: ANN001, ANN003, ANN202
        answer = real(self, method, path, **more)
        if method != "GET":
            left[0] -= 1
            if left[0] <= 0:
                # The server did it, and nobody is there to read its answer.
                raise Interrupted
        return answer

    for spec in (first, second):
        for writes in (1, 2, 3, 4, 6, 9, 13, 17, 21, 25, 30, 40, 60):
            left[0] = writes
            with monkeypatch.context() as patched:
                patched.setattr(Transport, "request", request)
                with suppress(Interrupted, Temporary):
                    kubernetes_plane.apply(spec=spec)
        settle(kubernetes_plane, spec)
        assert differences(control_plane, cluster_config, spec) == ""

    settle(kubernetes_plane, make_spec(ref, revision=3))
    assert not control_plane.exists("deployment", "worker-heavy", "-n", namespace_of(ref))
    remove(kubernetes_plane, ref)


def test_an_older_revision_never_replaces_a_newer_one(
    kubernetes_plane: KubernetesPlane, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(kubernetes_plane, small_spec(ref, revision=5))

    with recorded(monkeypatch) as calls, pytest.raises(Temporary, match="Revision 5"):
        kubernetes_plane.apply(spec=small_spec(ref, revision=4))

    assert {method for method, _ in calls} == {"GET"}


def test_a_spoilt_inventory_is_written_anew(
    control_plane: ControlPlane, kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    patch = json.dumps({"data": {"inventory.json": "{"}})
    control_plane.kubectl(
        "patch", "configmap", INVENTORY, "-n", namespace_of(ref), "--type=merge", "-p", patch
    )

    assert kubernetes_plane.observe(ref=ref).applied_revision == 0

    settle(kubernetes_plane, spec)

    assert kubernetes_plane.observe(ref=ref).applied_revision == 1


def test_a_survey_sees_all_deployments_of_one_portal_with_few_requests(
    cluster_config: ClusterConfig,
    kubernetes_plane: KubernetesPlane,
    ref: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_portal = KubernetesPlane(replace(cluster_config, portal_id="another"))
    settle(kubernetes_plane, small_spec(ref))
    settle(kubernetes_plane, small_spec(f"{ref}-b"))
    settle(other_portal, small_spec(f"{ref}-c"))

    with recorded(monkeypatch) as calls:
        looks = dict(kubernetes_plane.survey())

    assert looks.keys() == {ref, f"{ref}-b"}
    assert len(calls) <= 24
    observed = kubernetes_plane.observe(ref=ref)
    assert replace(looks[ref], observed_at=observed.observed_at, notices=None) == replace(
        observed, notices=None
    )
    for plane, name in ((kubernetes_plane, f"{ref}-b"), (other_portal, f"{ref}-c")):
        remove(plane, name)


def test_no_value_of_a_secret_can_be_read_through_the_client(
    kubernetes_plane: KubernetesPlane, cluster_config: ClusterConfig, ref: str
) -> None:
    spec = small_spec(ref)
    settle(kubernetes_plane, spec)
    api = Api(cluster_config.connection)

    everything = json.dumps(api.json(f"/api/v1/namespaces/{namespace_of(ref)}/secrets"))

    assert spec.secrets.fernet_key not in everything
    assert "N1Q1MTJVWFNTbUJPa3BXaW1GSElWYjhqSzZsZm1TQXZ4NG1PNkFyZWhuYz0" not in everything
