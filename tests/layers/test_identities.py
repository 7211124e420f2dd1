"""What an owner of a cluster allows of identities, and which of them a client means."""

import pytest

from apps.core.errors import Invalid
from apps.dataplane.production import WorkloadIdentity
from apps.layers.kinds.identities import IdentitiesKind, IdentityKind, identity_called, is_allowed
from apps.layers.resolving import Said, resolve

ROLE = "arn:aws:iam::123456789012:role/airflow/etl"


def allows(allowed: str, asked: str) -> bool:
    identity = IdentityKind().parse(asked)
    assert identity is not None
    return is_allowed(identity, IdentitiesKind().parse(allowed))


@pytest.mark.parametrize(
    ("allowed", "asked", "answer"),
    [
        (f"irsa {ROLE}", f"irsa {ROLE}", True),
        (f"irsa {ROLE}", f"irsa {ROLE}-prod", False),
        (f"irsa {ROLE}", f"eks-pod-identity {ROLE}", False),
        (f"irsa {ROLE}-*", f"irsa {ROLE}-prod", True),
        (f"irsa {ROLE}-*", f"irsa {ROLE}", False),
        ("irsa arn:aws:iam::123456789012:role/*", f"irsa {ROLE}", False),
        ("irsa arn:aws:iam::123456789012:role/*", f"irsa {ROLE.replace('airflow/', '')}", True),
        (f"irsa {ROLE}", f"irsa {ROLE.replace('1234', '9999')}", False),
        (f"irsa {ROLE.replace('etl', 'e.l')}", f"irsa {ROLE}", False),
        (
            "google etl-*@data-prod.iam.gserviceaccount.com",
            "google etl-eu@data-prod.iam.gserviceaccount.com",
            True,
        ),
        (
            "google *@data-prod.iam.gserviceaccount.com",
            "google etl@other-prod.iam.gserviceaccount.com",
            False,
        ),
    ],
)
def test_a_star_stands_for_a_part_of_the_name_alone(allowed: str, asked: str, answer: bool) -> None:
    assert allows(allowed, asked) is answer


def test_a_client_names_a_role_and_the_kind_is_the_one_that_is_allowed() -> None:
    allowed = IdentitiesKind().parse(f"eks-pod-identity {ROLE}")

    assert identity_called(ROLE, allowed) == WorkloadIdentity(kind="eks-pod-identity", name=ROLE)
    assert identity_called(ROLE, ()).kind == "irsa"
    assert identity_called(f"irsa {ROLE}", allowed).kind == "irsa"
    with pytest.raises(Invalid, match="is no identity of a cloud"):
        identity_called("admin", allowed)


def test_what_the_cluster_does_not_allow_does_not_hold_and_says_so() -> None:
    own = Said(layer="deployment", values={"workload_identity": f"irsa {ROLE}"})
    rule = Said(
        layer="cluster", place="eu-1", values={"allowed_workload_identities": f"irsa {ROLE}"}
    )

    held = resolve((own, rule))["workload_identity"]
    refused = resolve((own,))["workload_identity"]

    assert (held.value, held.refused) == (f"irsa {ROLE}", "")
    assert (refused.value, refused.refused) == ("", f"irsa {ROLE}")
    assert refused.source == f"from this Deployment: the cluster does not allow irsa {ROLE}"


def test_no_layer_of_a_cluster_chooses_and_no_deployment_allows() -> None:
    chosen = Said(layer="cluster", values={"workload_identity": f"irsa {ROLE}"})
    own = Said(
        layer="deployment",
        values={
            "workload_identity": f"irsa {ROLE}",
            "allowed_workload_identities": f"irsa {ROLE}",
        },
    )

    assert resolve((chosen,))["workload_identity"].value == ""
    assert resolve((own,))["workload_identity"].value == ""


def test_tasks_start_pods_where_the_cluster_lets_them_and_no_deployment_lets_itself() -> None:
    own = Said(layer="deployment", values={"pod_operator": "on", "pod_operator_allowed": "on"})
    rule = Said(layer="cluster", place="eu-1", values={"pod_operator_allowed": "on"})
    forced = Said(layer="cluster", place="eu-1", values={"pod_operator": "on"})

    held, refused = resolve((own, rule))["pod_operator"], resolve((own, forced))["pod_operator"]

    assert (held.value, held.refused) == ("on", "")
    assert refused.value == "off"
    assert (
        refused.source == "from this Deployment: the cluster does not allow KubernetesPodOperator"
    )
    assert resolve((rule,))["pod_operator"].value == "off"
