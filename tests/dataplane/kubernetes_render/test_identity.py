"""The identity of tasks in a cloud: on the service account, the pods and the network, and nowhere
else.
"""

import json
from typing import Any

import pytest

from apps.core.outbound.addresses import METADATA_NETWORKS
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.production import ProductionSpec, WorkloadIdentity
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests, render

ROLE = "arn:aws:iam::123456789012:role/airflow/etl"
CLIENT = "11111111-2222-3333-4444-555555555555"
GSA = "etl@data-prod.iam.gserviceaccount.com"
Objects = dict[tuple[str, str], Manifest]


def rendered(kind: str = "", name: str = "", *, executor: str = "celery") -> Objects:
    identity = WorkloadIdentity(kind=kind, name=name) if kind else None
    queues = {} if executor == "celery" else {"queues": ()}
    settings = ProductionSpec(workload_identity=identity)
    spec = make_spec(executor=executor, settings=settings, **queues)
    stages = render(spec=spec, config=make_config())
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(stages)}


def pod(found: Objects, name: str) -> dict[str, Any]:
    template: dict[str, Any] = found["Deployment", name]["spec"]["template"]
    return template


@pytest.mark.parametrize(
    ("kind", "name", "annotations", "audience"),
    [
        ("irsa", ROLE, {"eks.amazonaws.com/role-arn": ROLE}, "sts.amazonaws.com"),
        ("eks-pod-identity", ROLE, None, "pods.eks.amazonaws.com"),
        (
            "azure",
            CLIENT,
            {"azure.workload.identity/client-id": CLIENT},
            "api://AzureADTokenExchange",
        ),
        ("google", GSA, {"iam.gke.io/gcp-service-account": GSA}, None),
    ],
)
def test_the_account_of_tasks_says_who_they_are_and_the_namespace_for_whom_a_token_may_be(
    kind: str, name: str, annotations: dict[str, str] | None, audience: str | None
) -> None:
    found = rendered(kind, name)

    accounts = {key[1]: one for key, one in found.items() if key[0] == "ServiceAccount"}
    assert accounts["tasks"]["metadata"].get("annotations") == annotations
    assert "annotations" not in accounts["airflow"]["metadata"]
    of_namespace = next(one for key, one in found.items() if key[0] == "Namespace")
    key = "astro-portal.dev/token-audience"
    assert of_namespace["metadata"]["annotations"].get(key) == audience


@pytest.mark.parametrize("executor", ["celery", "kubernetes", "local"])
def test_what_runs_tasks_has_it_and_what_reads_the_keys_of_airflow_has_not(executor: str) -> None:
    found = rendered("azure", CLIENT, executor=executor)
    label = "azure.workload.identity/use"

    has_it = {
        name
        for (kind, name), one in found.items()
        if kind == "Deployment"
        and one["spec"]["template"]["spec"].get("serviceAccountName") == "tasks"
    }
    is_marked = {
        name
        for (kind, name), one in found.items()
        if kind == "Deployment" and label in one["spec"]["template"]["metadata"]["labels"]
    }
    runs_tasks = {"celery": "worker-default", "local": "scheduler"}
    assert has_it == is_marked == {"triggerer", runs_tasks.get(executor, "triggerer")}
    assert pod(found, "triggerer")["spec"]["automountServiceAccountToken"] is False
    if executor == "kubernetes":
        task = json.loads(found["ConfigMap", "pod-template"]["data"]["pod.yaml"])
        assert task["metadata"]["labels"][label] == "true"
        assert task["spec"]["serviceAccountName"] == "tasks"
        assert label not in pod(found, "scheduler")["metadata"]["labels"]


@pytest.mark.parametrize(
    ("kind", "name", "opened"),
    [
        ("", "", None),
        ("irsa", ROLE, None),
        ("azure", CLIENT, None),
        ("eks-pod-identity", ROLE, {("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)}),
        ("google", GSA, {("169.254.169.254/32", 80), ("169.254.169.252/32", 988)}),
    ],
)
def test_addresses_of_the_node_are_open_for_exactly_that_kind_and_to_what_runs_tasks(
    kind: str, name: str, opened: set[tuple[str, int]] | None
) -> None:
    found = rendered(kind, name)

    policy = found.get(("NetworkPolicy", "identity"))
    assert (policy is None) == (opened is None)
    if policy is not None:
        (selected,) = policy["spec"]["podSelector"]["matchExpressions"]
        assert set(selected["values"]) == {"worker", "task", "triggerer"}
        assert policy["spec"]["policyTypes"] == ["Egress"]
        assert {
            (rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"])
            for rule in policy["spec"]["egress"]
        } == opened
    outside = found["NetworkPolicy", "outside"]["spec"]["egress"][0]["to"]
    closed = [one for peer in outside for one in peer.get("ipBlock", {}).get("except", [])]
    assert set(closed) == set(METADATA_NETWORKS)


def test_another_identity_replaces_the_pods_that_have_it_and_no_others() -> None:
    none, one, other = rendered(), rendered("irsa", ROLE), rendered("irsa", f"{ROLE}-2")

    def replaced(before: Objects, after: Objects) -> set[str]:
        names = [name for kind, name in before if kind == "Deployment"]
        return {name for name in names if pod(before, name) != pod(after, name)}

    assert replaced(none, one) == replaced(one, other) == {"worker-default", "triggerer"}
