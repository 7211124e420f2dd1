"""What the plane asks of an API server, counted.

Times are for the benchmarks; counts do not vary.
"""

from dataclasses import replace

from apps.dataplane.kubernetes.apply.apply_pass import ApplyPass
from apps.dataplane.kubernetes.names import namespace_of
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.render import render
from apps.dataplane.spec import DeploymentSpec, VariableSpec
from tests.dataplane.specs import make_spec
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.deployments import settle, small_spec
from tests.kubernetes.fault_proxy import FaultProxy

# A look for the namespace, the inventory before and after, and the pods that should read what
# changed in their files at once.
BESIDE_OBJECTS = 4
LIMIT = VariableSpec(key="LIMIT", value="2", is_secret=False)


def applied_at_once(plane: KubernetesPlane, spec: DeploymentSpec) -> int:
    """Apply all stages without waiting for pods; return how many objects there are."""
    stages = tuple(replace(stage, waits=False) for stage in render(spec=spec, config=plane.config))
    portal_id = plane.config.portal_id
    ApplyPass(api=plane.api, portal_id=portal_id, spec=spec, stages=stages).run()
    return sum(len(stage.objects) for stage in stages)


def test_a_new_deployment_takes_little_more_than_a_request_for_each_object(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, ref: str
) -> None:
    objects = applied_at_once(faulty_plane, make_spec(ref))

    assert objects <= faulty.count() <= objects + BESIDE_OBJECTS


def test_an_answer_brings_back_nothing_of_secrets_and_code(
    kubernetes_plane: KubernetesPlane, ref: str
) -> None:
    applied_at_once(kubernetes_plane, small_spec(ref))
    spec = small_spec(ref, revision=2, variables=(LIMIT,))
    stages = render(spec=spec, config=kubernetes_plane.config)
    secret = next(m for stage in stages for m in stage.objects if m["kind"] == "Secret")

    answer = kubernetes_plane.api.apply(secret, metadata_only=True)

    assert set(answer) == {"kind", "apiVersion", "metadata"}
    assert answer["kind"] == "Secret"
    assert answer["metadata"]["uid"]


def test_an_edit_sends_what_changed_and_nothing_else(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, ref: str
) -> None:
    settle(faulty_plane, small_spec(ref))
    faulty.forget_calls()

    applied_at_once(faulty_plane, small_spec(ref, revision=2, variables=(LIMIT,)))

    sent = {call.path.rsplit("/", 2)[1] for call in faulty.writes()}
    assert sent <= {"namespaces", "configmaps", "secrets", "deployments", "cronjobs", "jobs"}
    assert len(faulty.writes()) < 14


def test_a_survey_asks_the_same_for_any_number_of_deployments(
    faulty: FaultProxy, faulty_plane: KubernetesPlane, control_plane: ControlPlane, ref: str
) -> None:
    counts = []
    for refs in ([ref], [f"{ref}-a", f"{ref}-b"]):
        for one in refs:
            applied_at_once(faulty_plane, small_spec(one))
        faulty.forget_calls()
        seen = [one for one, _ in faulty_plane.survey()]
        counts.append((len(seen), faulty.count(), len(faulty.writes())))
    others = [namespace_of(f"{ref}-{one}") for one in "ab"]
    control_plane.kubectl("delete", "namespace", *others, "--wait=false")

    (few, requests, _), (more, requests_for_more, _) = counts
    assert (few, more) == (1, 3)
    assert requests == requests_for_more
    assert all(writes == 0 for _, _, writes in counts)
