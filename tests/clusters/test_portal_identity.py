"""The portal's own identity at Azure and Google: by the vendors' own libraries, whose questions are
answered by recorded shapes of their documentation. Neither vendor was asked.
"""

import io
import json
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from apps.clusters.connections.own_identities import own_identity_for, refuse_withdrawn
from apps.clusters.connections.planes import config_for
from apps.clusters.connections.sources import GoogleSource
from apps.clusters.models import Cluster
from apps.dataplane.clouds import azure, google, portal_identity
from apps.dataplane.clouds.identities import AzureIdentity, GoogleIdentity
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary, Unreachable
from tests.clusters.clouds import Recorded
from tests.clusters.material import b64, certificate

GUID = "0a1b2c3d-0000-4000-8000-00000000000a"
EMAIL = "portal@ops-1.iam.gserviceaccount.com"
LOGIN = "https://login.microsoftonline.com"
IMDS = "http://169.254.169.254/metadata/identity/oauth2/token"
STS, IAM = "https://sts.googleapis.com/v1/token", "https://iamcredentials.googleapis.com"
FIND = "/o/nordhavn/clusters/find/google/"


class Answers(BaseAdapter):
    """What a vendor answers, by how an address begins; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self.answers: dict[str, Any] = answers
        self.asked: list[requests.PreparedRequest] = []

    def send(self, request: Any, **_: Any) -> requests.Response:
        self.asked.append(request)
        for beginning, answer in self.answers.items():
            if request.url.startswith(beginning):
                if isinstance(answer, Exception):
                    raise answer
                return self._response(request, *answer)
        raise AssertionError(request.url)

    def _response(self, request: Any, status: int, body: Any) -> requests.Response:
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(json.dumps(body).encode()),
            status=status,
            headers={"Content-Type": "application/json"},
            preload_content=False,
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None: ...

    def session(self) -> requests.Session:
        session = requests.Session()
        session.mount("https://", self)
        session.mount("http://", self)
        return session


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the webhook of Azure Workload Identity puts into a pod."""
    pytest.importorskip("azure.identity")
    file = tmp_path / "azure-identity-token"
    file.write_text("eyJ.of.kubernetes")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", GUID)
    monkeypatch.setenv("AZURE_CLIENT_ID", "another")
    return file


def entra(token: tuple[int, Any]) -> Answers:
    found = {
        "token_endpoint": f"{LOGIN}/{GUID}/oauth2/v2.0/token",
        "authorization_endpoint": f"{LOGIN}/{GUID}/oauth2/v2.0/authorize",
        "issuer": f"{LOGIN}/{GUID}/v2.0",
    }
    return Answers(
        **{
            f"{LOGIN}/{GUID}/v2.0/.well-known": (200, found),
            f"{LOGIN}/common/discovery": (200, {"tenant_discovery_endpoint": "", "metadata": []}),
            f"{LOGIN}/{GUID}/oauth2/v2.0/token": token,
        }
    )


TOKEN = (200, {"token_type": "Bearer", "expires_in": 3599, "access_token": "ey.az.ure"})


def test_a_pod_of_aks_exchanges_its_token_for_one_of_the_clusters(workload: Path) -> None:
    answers = entra(TOKEN)

    token, ends_at = portal_identity.azure_token(GUID, azure.AKS_SCOPE, session=answers.session())

    assert token == "ey.az.ure"
    assert 3500 < ends_at - time.time() < 3700
    form = parse_qs(str(answers.asked[-1].body))
    assert form["client_assertion"] == ["eyJ.of.kubernetes"]
    assert form["client_id"] == [GUID]
    assert form["grant_type"] == ["client_credentials"]
    assert "6dae42f8-4368-4678-94ff-3960e28e3630/.default" in form["scope"][0]
    assert "client_secret" not in form
    # Kubernetes writes another into the file: it is read again.
    workload.write_text("eyJ.of.later")
    again = entra(TOKEN)
    portal_identity.azure_token(GUID, azure.AKS_SCOPE, session=again.session())
    assert parse_qs(str(again.asked[-1].body))["client_assertion"] == ["eyJ.of.later"]


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((429, {"error": "x"}), Temporary, "throttles"),
        ((503, {"error": "x"}), Unreachable, "failed"),
        ((401, {"error": "invalid_client", "error_description": "s3cr3t"}), Permanent, "sign the"),
        (requests.ConnectionError("s3cr3t"), Unreachable, "does not answer"),
    ],
)
def test_what_entra_refuses_is_a_sentence(
    workload: Path, answer: Any, kind: type[DataPlaneError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        portal_identity.azure_token(GUID, "scope", session=entra(answer).session())
    assert says in caught.value.message
    assert "s3cr3t" not in caught.value.message


def test_a_machine_of_azure_asks_for_the_identity_that_was_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("azure.identity")
    monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
    ends_at = str(int(time.time()) + 3600)
    found = {"access_token": "ey.vm", "expires_on": ends_at, "expires_in": "3600"}
    answers = Answers(**{IMDS: (200, found | {"token_type": "Bearer", "resource": "x"})})

    token, _ = portal_identity.azure_token(GUID, azure.AKS_SCOPE, session=answers.session())

    assert token == "ey.vm"
    assert f"client_id={GUID}" in str(answers.asked[-1].url)


@pytest.fixture
def federated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of Workload Identity Federation, for a pod outside of Google."""
    pytest.importorskip("google.auth")
    (tmp_path / "token").write_text("eyJ.of.kubernetes")
    file = tmp_path / "credentials.json"
    account = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/"
        "providers/k",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": STS,
        "service_account_impersonation_url": f"{IAM}/v1/projects/-/serviceAccounts/{EMAIL}:"
        "generateAccessToken",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "ops-1")
    return file


def test_a_pod_elsewhere_becomes_a_service_account_of_google(federated: Path) -> None:
    exchanged = {"access_token": "sts", "expires_in": 3600, "token_type": "Bearer"}
    exchanged["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
    minted = {"accessToken": "ya29.own", "expireTime": "2126-11-28T12:00:00Z"}
    answers = Answers(**{STS: (200, exchanged), IAM: (200, minted)})

    token, ends_at = portal_identity.google_token(session=answers.session())

    assert token == "ya29.own"
    assert ends_at > time.time()
    assert "eyJ.of.kubernetes" in str(answers.asked[0].body)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((400, {"error": "invalid_grant", "error_description": "s3cr3t"}), Permanent, "does not"),
        (requests.ConnectionError("s3cr3t"), Unreachable, "answer"),
    ],
)
def test_what_google_refuses_is_a_sentence(
    federated: Path, answer: Any, kind: type[DataPlaneError], says: str
) -> None:
    with pytest.raises(kind) as caught:
        portal_identity.google_token(session=Answers(**{STS: answer}).session())
    assert says in caught.value.message
    assert "s3cr3t" not in caught.value.message


@pytest.mark.parametrize("file", ["", "gone.json"])
def test_a_portal_without_an_identity_says_who_gives_it_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    pytest.importorskip("google.auth")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / file) if file else "")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    with pytest.raises(Permanent, match="Its operator has to give it one"):
        portal_identity.google_token()


@pytest.fixture
def own_at_google(settings: Any, organization: Any, monkeypatch: Any) -> Recorded:
    settings.GOOGLE_PRINCIPAL, settings.GOOGLE_ORGANIZATIONS = EMAIL, (organization.slug,)
    item = {
        "name": "prod",
        "location": "europe-west1",
        "endpoint": "34.1.2.3",
        "masterAuth": {"clusterCaCertificate": b64(certificate())},
    }
    by = Recorded(clusters=(200, {"clusters": [item]}))
    monkeypatch.setattr("apps.clusters.forms.clouds.GoogleSource", partial(GoogleSource, ask=by))
    ends_at = time.time() + 3600
    monkeypatch.setattr(portal_identity, "google_token", lambda: ("ya29.own", ends_at))
    return by


def test_an_organization_that_may_finds_clusters_as_the_portal_and_loses_them_with_the_right(
    client_of: Any, alice: Any, organization: Any, own_at_google: Recorded, settings: Any
) -> None:
    browser = client_of(alice)
    given = {"own_identity": "on", "project": "data-prod-1"}

    assert EMAIL in browser.get(FIND).content.decode()
    page = browser.post(FIND, given)
    assert page.status_code == 200, page.content.decode()
    assert own_at_google.questions[-1].token == "ya29.own"
    browser.post(FIND, {**given, "clusters": "europe-west1/prod"})

    cluster = Cluster.objects.get(name="prod")
    identity = config_for(cluster).connection.identity
    assert isinstance(identity, GoogleIdentity)
    assert (identity.own_of, identity.email, identity.private_key) == ("nordhavn", EMAIL, "")
    assert google.mint(identity, time.time()).value == "ya29.own"
    # Others are asked for a sign-in of their own, and it cannot be had by typing the tick.
    settings.GOOGLE_ORGANIZATIONS = ("another",)
    assert browser.post(FIND, given).status_code == 422
    with pytest.raises(Permanent, match="does not let this organization"):
        config_for(cluster)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"own_identity": "on"}, "Give the project"),
        ({"own_identity": "on", "project": "data-prod-1", "key": "{}"}, "not the JSON key"),
        ({"project": "data-prod-1"}, "This field is required"),
    ],
)
def test_the_own_identity_takes_a_project_and_no_key(
    client_of: Any, alice: Any, own_at_google: Recorded, given: dict[str, str], says: str
) -> None:
    page = client_of(alice).post(FIND, given)

    assert page.status_code == 422
    assert says in page.content.decode()
    assert own_at_google.questions == []


def test_nobody_may_use_it_until_the_operator_names_them(settings: Any, organization: Any) -> None:
    assert own_identity_for(organization, "azure") is None
    settings.AZURE_ORGANIZATIONS = (organization.slug,)
    assert own_identity_for(organization, "azure") is None
    settings.AZURE_PRINCIPAL = GUID
    found = own_identity_for(organization, "azure")
    assert found is not None
    assert (found.principal, found.own_of) == (GUID, "nordhavn")
    assert own_identity_for(organization, "aws") is None

    identity = AzureIdentity(
        tenant="", client_id=GUID, client_secret="", cluster_id="a/b/c/d/e", own_of="nordhavn"
    )
    refuse_withdrawn(identity)
    # Another identity of the portal was never allowed to whoever registered this one.
    settings.AZURE_PRINCIPAL = GUID.replace("a", "b")
    with pytest.raises(Permanent):
        refuse_withdrawn(identity)


def test_at_aks_the_portal_needs_a_subscription_alone(
    client_of: Any, alice: Any, organization: Any, settings: Any, monkeypatch: Any
) -> None:
    settings.AZURE_PRINCIPAL, settings.AZURE_ORGANIZATIONS = GUID, (organization.slug,)
    found: dict[str, Any] = {}

    def asked(client_id: str, scope: str) -> tuple[str, float]:
        found.update(client_id=client_id, scope=scope)
        raise Permanent("Microsoft Entra does not sign the portal in.")

    monkeypatch.setattr(portal_identity, "azure_token", asked)
    url = "/o/nordhavn/clusters/find/azure/"

    page = client_of(alice).post(url, {"own_identity": "on", "subscription": GUID})

    assert "does not sign the portal in" in page.content.decode()
    assert found == {"client_id": GUID, "scope": "https://management.azure.com/.default"}
