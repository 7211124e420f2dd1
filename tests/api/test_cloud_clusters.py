"""Clusters of a cloud by programs: found, registered, and no secret comes out."""

from functools import partial
from typing import Any

import pytest

from apps.clusters.connections.own_identities import external_id_of
from apps.clusters.connections.sources import AzureSource
from apps.clusters.models import Cluster
from apps.dataplane.clouds import portal_identity
from apps.dataplane.fake.plane import FakePlane
from tests.clusters.clouds import REGION, ROLE, Recorded
from tests.clusters.test_cloud_pages import account, aws_account  # noqa: F401 - fixtures
from tests.clusters.test_pages import GOOD

GUID = "0a1b2c3d-0000-4000-8000-00000000000a"
ACCOUNT = {"provider": "AWS", "roleArn": ROLE, "region": REGION}


@pytest.fixture
def program(alice: Any, plane: Any, program_of: Any, monkeypatch: Any) -> Any:
    FakePlane.store.found = GOOD
    monkeypatch.setattr(
        "apps.clusters.connections.probe.allowed_addresses", lambda **_: ("10.20.30.40",)
    )
    return program_of(alice)


def test_a_program_finds_clusters_of_eks_and_registers_some(
    program: Any,
    aws_account: Any,  # noqa: F811
    organization: Any,
) -> None:
    trust = program.get("/cloud-clusters/aws-trust").json()
    found = program.post("/cloud-clusters/find", ACCOUNT).json()["clusters"]
    made = program.post("/cloud-clusters", {**ACCOUNT, "keys": [found[0]["key"]]})

    assert trust["externalId"] == external_id_of(organization)
    assert trust["externalId"] in trust["trustPolicy"]
    assert made.status_code == 200, made.content
    (cluster,) = made.json()["clusters"]
    assert (cluster["name"], cluster["cloudProvider"]) == (found[0]["name"], "AWS")
    row = Cluster.objects.get(kind="kubernetes")
    assert row.cloud["principal"] == ROLE
    assert row.organization == organization


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"provider": "ORACLE"}, "Send AWS, AZURE or GCP"),
        ({"provider": "AWS", "roleArn": "x", "region": REGION}, "Give the ARN of a role"),
        ({"provider": "AZURE", "tenant": "x"}, "Give the tenant's id"),
        ({"provider": "GCP", "key": "{}"}, "key: "),
        ({**ACCOUNT, "keys": []}, "Choose at least one cluster"),
        ({**ACCOUNT, "keys": ["../x"]}, "This is not the name of an EKS cluster"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(
    program: Any,
    aws_account: Any,  # noqa: F811
    body: dict[str, Any],
    said: str,
) -> None:
    answer = program.post("/cloud-clusters", {"keys": ["a"], **body})

    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert not Cluster.objects.filter(kind="kubernetes").exists()


def test_the_portals_own_identity_is_for_whom_the_operator_names(
    program: Any, organization: Any, settings: Any, monkeypatch: Any
) -> None:
    body = {"provider": "AZURE", "ownIdentity": True, "subscription": GUID}
    settings.AZURE_PRINCIPAL, settings.AZURE_ORGANIZATIONS = GUID, ("another",)

    refused = program.post("/cloud-clusters/find", body)
    assert "does not let this organization" in refused.json()["message"]
    settings.AZURE_ORGANIZATIONS = (organization.slug,)
    monkeypatch.setattr(portal_identity, "azure_token", lambda *_: ("ey", 2e9))
    by = Recorded(managedClusters=(200, {"value": []}))
    monkeypatch.setattr("apps.clusters.forms.clouds.AzureSource", partial(AzureSource, ask=by))
    assert program.post("/cloud-clusters/find", body).json() == {"clusters": []}
    assert by.questions[0].token == "ey"


def test_members_may_not(bob: Any, program_of: Any) -> None:
    assert program_of(bob).post("/cloud-clusters/find", ACCOUNT).status_code == 403
