"""The identity of tasks in a cloud: on the service account, the pods and the network, and nowhere
else.
"""

import json
from typing import Any

import pytest

from apps.core.outbound.addresses import METADATA_NETWORKS
from apps.dataplane.kubernetes.api.kinds import Manifest
from apps.dataplane.kubernetes.config import ObjectStore
from apps.dataplane.production import ProductionSpec, WorkloadIdentity
from tests.dataplane.kubernetes_render.matrix import make_config, make_spec, manifests, render

ROLE = "arn:aws:iam::123456789012:role/airflow/etl"
CLIENT = "11111111-2222-3333-4444-555555555555"
GSA = "etl@data-prod.iam.gserviceaccount.com"
Objects = dict[tuple[str, str], Manifest]


def rendered(
    kind: str = "", name: str = "", *, executor: str = "celery", store: ObjectStore | None = None
) -> Objects:
    identity = WorkloadIdentity(kind=kind, name=name) if kind else None
    queues = {} if executor == "celery" else {"queues": ()}
    settings = ProductionSpec(workload_identity=identity)
    spec = make_spec(executor=executor, settings=settings, **queues)
    stages = render(spec=spec, config=make_config(object_store=store))
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


@pytest.mark.parametrize("executor", ["celery", "kubernetes", "local"])
@pytest.mark.parametrize(
    ("kind", "name", "store"),
    [
        ("irsa", ROLE, "s3://logs/prod"),
        ("eks-pod-identity", ROLE, "s3://logs/prod"),
        ("azure", CLIENT, "wasbs://logs@account.blob.core.windows.net/prod"),
        ("google", GSA, "gs://logs/prod"),
    ],
)
def test_what_shows_logs_of_a_bucket_without_a_key_has_the_identity_that_wrote_them(
    executor: str, kind: str, name: str, store: str
) -> None:
    found = rendered(kind, name, executor=executor, store=ObjectStore(url=store))

    spec = pod(found, "api-server")["spec"]
    accounts = {
        key[1]: one["metadata"].get("annotations")
        for key, one in found.items()
        if key[0] == "ServiceAccount"
    }
    assert spec["serviceAccountName"] == "api-server"
    assert spec["automountServiceAccountToken"] is (executor == "kubernetes")
    assert accounts["api-server"] == accounts["tasks"]
    assert accounts["airflow"] is None
    labels = [pod(found, one)["metadata"]["labels"] for one in ("api-server", "triggerer")]
    marks = [one.get("azure.workload.identity/use") for one in labels]
    assert marks[0] == marks[1]
    if ("NetworkPolicy", "identity") in found:
        (selected,) = found["NetworkPolicy", "identity"]["spec"]["podSelector"]["matchExpressions"]
        assert "api-server" in selected["values"]


@pytest.mark.parametrize(
    "store",
    [
        None,
        ObjectStore(url="s3://logs", access_key="a", secret_key="b"),
        ObjectStore(url="gs://logs", secret_key="{}"),
        ObjectStore(url="https://elastic.test:9200/airflow"),
    ],
)
def test_what_shows_logs_that_need_no_identity_has_none(store: ObjectStore | None) -> None:
    found = rendered("azure", CLIENT, store=store)

    assert ("ServiceAccount", "api-server") not in found
    assert pod(found, "api-server")["spec"]["serviceAccountName"] == "airflow"
    assert "azure.workload.identity/use" not in pod(found, "api-server")["metadata"]["labels"]


def test_a_key_that_is_given_later_takes_the_identity_from_what_shows_logs() -> None:
    without = rendered("irsa", ROLE, store=ObjectStore(url="s3://logs"))
    with_key = rendered("irsa", ROLE, store=ObjectStore(url="s3://logs", secret_key="x"))

    assert ("ServiceAccount", "api-server") in without
    assert ("ServiceAccount", "api-server") not in with_key
    assert pod(without, "api-server") != pod(with_key, "api-server")
