"""Pages that find clusters of a cloud: owners tick and register them."""

import json
from functools import partial
from typing import Any

import pytest

from apps.audit.models import AuditEvent
from apps.clusters.connections.own_identities import external_id_of
from apps.clusters.connections.planes import config_for
from apps.clusters.connections.services import check_cluster
from apps.clusters.connections.sources import AzureSource, GoogleSource
from apps.clusters.models import Cluster, ExternalId
from apps.dataplane.clouds import aws, google, tokens
from apps.dataplane.clouds.identities import AwsIdentity
from apps.dataplane.fake.plane import FakePlane
from apps.organizations.models import Organization
from tests.clusters.clouds import REGION, ROLE, Recorded, fake_aws
from tests.clusters.material import CANARY, NOW, b64, certificate, document, kubeconfig
from tests.clusters.test_pages import GOOD, LACKING

pytestmark = pytest.mark.django_db
FIND = "/o/nordhavn/clusters/find/aws/"
GIVEN = {"role_arn": ROLE, "region": REGION}


@pytest.fixture(scope="module")
def account() -> Any:
    patch = pytest.MonkeyPatch()
    with fake_aws() as found:
        patch.setenv("AWS_ENDPOINT_URL", found.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "own")
        yield found
    patch.undo()


@pytest.fixture
def aws_account(account: Any, organization, settings) -> Any:
    account.__init__(account.url)
    account.expected = external_id_of(organization)
    # An address needs no look-up.
    account.endpoint = "https://10.20.30.40.gr7.eu-central-1.eks.amazonaws.com"
    settings.AWS_PRINCIPAL = "arn:aws:iam::999900001111:role/portal"
    aws.role_keys.restart()
    tokens.kept_tokens.restart()
    return account


@pytest.fixture
def browser(alice, client_of, monkeypatch) -> Any:
    FakePlane.store.found = GOOD
    monkeypatch.setattr(
        "apps.clusters.connections.probe.allowed_addresses", lambda **_: ("10.20.30.40",)
    )
    return client_of(alice)


def test_an_owner_finds_clusters_and_registers_those_that_are_ticked(browser, aws_account) -> None:
    page = browser.get(FIND).content.decode()
    assert aws_account.expected in page
    assert "arn:aws:iam::999900001111:role/portal" in page

    found = browser.post(FIND, GIVEN).content.decode()
    assert "data-prod" in found
    assert "data-dev" in found
    assert not Cluster.objects.filter(kind="kubernetes").exists()

    page = browser.post(FIND, {**GIVEN, "clusters": ["data-prod", "data-dev"]})
    assert (page.status_code, page["Location"]) == (302, "/o/nordhavn/clusters/")
    cluster = Cluster.objects.get(name="data-prod")
    assert (cluster.credential_kind, cluster.version) == ("aws", "v1.37.2")
    connection = config_for(cluster).connection
    assert connection.identity == AwsIdentity(
        role_arn=ROLE, external_id=aws_account.expected, region=REGION, cluster="data-prod"
    )
    assert not connection.token
    assert AuditEvent.objects.filter(action="cluster.registered").count() == 2
    assert "registered as data-prod" in browser.post(FIND, GIVEN).content.decode()


def test_the_page_of_such_a_cluster_has_the_commands_for_it(browser, aws_account) -> None:
    FakePlane.store.found = LACKING
    page = browser.post(FIND, {**GIVEN, "clusters": "data-prod"}, follow=True).content.decode()

    assert f"--cluster-name data-prod --principal-arn {ROLE}" in page
    assert "--kubernetes-groups astro-portal" in page
    cluster = Cluster.objects.get(name="data-prod")
    manifest = browser.get(f"/o/nordhavn/clusters/role.yaml?cluster={cluster.pk}").content.decode()
    assert "kind: Group" in manifest
    assert "kind: ServiceAccount\n" not in manifest
    assert "astro-portal-token" not in manifest


def test_what_aws_refuses_is_said_above_the_form(browser, aws_account, organization) -> None:
    aws_account.expected = "of another organization"
    refused = browser.post(FIND, GIVEN)
    assert refused.status_code == 422
    assert "does not let the portal assume" in refused.content.decode()

    aws_account.is_open = True
    refused = browser.post(FIND, {**GIVEN, "clusters": "data-prod"})
    assert "may be assumed without the external id" in refused.content.decode()
    for wrong in ({"role_arn": "role"}, {"region": "evil.example.org/"}):
        assert browser.post(FIND, {**GIVEN, **wrong}).status_code == 422
    assert not Cluster.objects.filter(kind="kubernetes").exists()


def test_nobody_chooses_the_external_id_and_no_two_organizations_share_one(
    browser, aws_account
) -> None:
    mine = aws_account.expected
    browser.post(FIND, {**GIVEN, "external_id": "chosen", "clusters": "data-prod"})

    assert ExternalId.objects.get().value == mine
    assert config_for(Cluster.objects.get(name="data-prod")).connection.identity.external_id == mine
    elsewhere = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    assert external_id_of(elsewhere) != mine


def test_the_operator_decides_whether_the_portal_has_an_identity(
    browser, aws_account, settings
) -> None:
    settings.AWS_PRINCIPAL = ""

    assert "PORTAL_AWS_PRINCIPAL" in browser.get(FIND).content.decode()
    assert browser.post(FIND, GIVEN).status_code == 422
    assert aws_account.calls == []


def test_a_cluster_is_connected_again_under_its_name(browser, aws_account, organization) -> None:
    browser.post(FIND, {**GIVEN, "clusters": "data-prod"})
    cluster = Cluster.objects.get(name="data-prod")
    url = f"/o/nordhavn/clusters/{cluster.pk}/credential/aws/"
    shown = browser.get(url).content.decode()
    assert 'value="data-prod"' in shown
    assert ROLE in shown

    aws_account.endpoint = "https://10.20.30.41.gr7.eu-central-1.eks.amazonaws.com"
    assert browser.post(url, {**GIVEN, "one": "data-prod"}).status_code == 302
    cluster.refresh_from_db()
    assert cluster.server == aws_account.endpoint
    # Made anew under the same name: another cluster answers.
    FakePlane.store.found = type(GOOD)(**{**GOOD.__dict__, "identity": "uid-2"})
    page = browser.post(url, {**GIVEN, "one": "data-prod"})
    assert page.status_code == 422
    assert "this one is for another cluster" in page.content.decode()
    gone = browser.post(url, {**GIVEN, "one": "gone"})
    assert "has no such EKS cluster" in gone.content.decode()


def test_a_test_asks_the_cloud_again_at_once(browser, aws_account, alice) -> None:
    browser.post(FIND, {**GIVEN, "clusters": "data-prod"})
    cluster = Cluster.objects.get(name="data-prod")
    identity = config_for(cluster).connection.identity
    aws_account.error = (400, "Throttling")
    aws.role_keys.restart()
    with pytest.raises(Exception, match="throttles"):
        tokens.token_for(identity)
    aws_account.error = None

    check_cluster(actor=alice, cluster=cluster)

    assert tokens.token_for(identity)


def test_a_client_secret_of_azure_is_sealed_and_never_shown(browser, monkeypatch) -> None:
    guid = "0a1b2c3d-0000-4000-8000-00000000000a"
    key = (
        f"/subscriptions/{guid}/resourceGroups/data/providers/"
        "Microsoft.ContainerService/managedClusters/prod"
    )
    server = "https://prod-1.hcp.westeurope.azmk8s.io:443"
    with_program = {"exec": {"command": "kubelogin"}}
    text = document(cluster={"server": server}, user=with_program)
    by = Recorded(
        oauth2=(200, {"access_token": "t", "expires_in": 3600}),
        listClusterUserCredential=(200, {"kubeconfigs": [{"value": b64(json.dumps(text))}]}),
        managedClusters=(
            200,
            {"value": [{"id": key, "location": "westeurope", "properties": {}}]},
        ),
    )
    recorded = partial(AzureSource, ask=by)
    monkeypatch.setattr("apps.clusters.forms.clouds.AzureSource", recorded)
    url = "/o/nordhavn/clusters/find/azure/"
    given = {"tenant": guid, "client_id": guid, "client_secret": CANARY, "subscription": guid}

    page = browser.post(url, given)
    assert page.status_code == 200, page.content.decode()
    assert "does not use Microsoft Entra" in page.content.decode()
    # The secret stays on the server between the two steps.
    made = browser.post(url, {**given, "client_secret": "", "clusters": key})

    cluster = Cluster.objects.get(kind="kubernetes")
    assert made["Location"] == f"/o/nordhavn/clusters/{cluster.pk}/"
    assert (cluster.name, cluster.server, cluster.credential_kind) == ("prod", server, "azure")
    identity = config_for(cluster).connection.identity
    assert identity.client_secret == CANARY
    assert CANARY.encode() not in bytes(cluster.credential)
    assert CANARY not in page.content.decode() + str(cluster.cloud)
    assert CANARY not in browser.get(made["Location"]).content.decode()


def test_a_google_cluster_with_a_public_name_needs_no_authority(monkeypatch) -> None:
    item = {
        "name": "prod",
        "location": "europe-west1",
        "endpoint": "34.1.2.3",
        "masterAuth": {"clusterCaCertificate": b64(certificate())},
        "controlPlaneEndpointsConfig": {
            "dnsEndpointConfig": {"endpoint": "gke-1.eu.gke.goog", "allowExternalTraffic": True}
        },
    }
    by = Recorded(
        oauth2=(200, {"access_token": "t", "expires_in": 3600}),
        clusters=(200, {"clusters": [item]}),
    )
    monkeypatch.setattr(google, "_assertion", lambda *_: "signed")
    account = google.Account(email="a", key_id="k", private_key="p", project="data-prod-1")

    for by_dns, server in ((True, "https://gke-1.eu.gke.goog"), (False, "https://34.1.2.3")):
        source = GoogleSource(account=account, by_dns=by_dns, ask=by)
        (offer,) = source.find()
        connection = source.access_to(offer.key, networks=(), now=NOW).connection
        assert connection.server == server
        assert bool(connection.ca_certificate) is not by_dns


def test_members_look_and_strangers_see_nothing(client_of, bob, charlie, aws_account) -> None:
    assert client_of(bob).post(FIND, GIVEN).status_code == 403
    assert client_of(charlie).post(FIND, GIVEN).status_code == 404
    assert aws_account.calls == []


def test_a_kubeconfig_with_a_program_says_what_to_do_instead(browser) -> None:
    text = kubeconfig(user={"exec": {"command": "aws"}})
    page = browser.post("/o/nordhavn/clusters/register/", {"name": "x", "kubeconfig": text})
    assert "For EKS, AKS and GKE choose the cloud above" in page.content.decode()
