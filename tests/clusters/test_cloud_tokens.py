"""Tokens of clouds: what they say, when they are renewed, and what each refusal is in words."""

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.dataplane.clouds import aws, azure, google, tokens
from apps.dataplane.clouds.identities import AwsIdentity, AzureIdentity
from apps.dataplane.clouds.renewing import Lasting, Renewing
from apps.dataplane.errors import DataPlaneError, Permanent, Temporary, Unreachable
from apps.dataplane.kubernetes.config import ClusterConfig, Connection
from apps.dataplane.kubernetes.plane import KubernetesPlane
from tests.clusters.clouds import REGION, ROLE, Recorded, fake_aws
from tests.clusters.material import certificate

GUID = "0a1b2c3d-0000-4000-8000-00000000000a"
CLUSTER_ID = (
    f"/subscriptions/{GUID}/resourceGroups/data/providers/"
    "Microsoft.ContainerService/managedClusters/prod"
)
IDENTITY = AwsIdentity(role_arn=ROLE, external_id="x-1", region=REGION, cluster="data-prod")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counting(answers: list[Any]) -> Any:
    def make(key: str, now: float) -> Lasting[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Lasting(value=answer, renew_at=now + 600, ends_at=now + 840)

    return make


def test_a_token_is_renewed_before_it_ends_and_used_on_while_nobody_gives_a_new_one() -> None:
    clock = Clock()
    away = Unreachable("AWS does not answer.")
    answers = ["one", "two", away, away, "three"]
    kept = Renewing(counting(answers), clock=clock)

    def at(seconds: float) -> str:
        clock.now = 1000 + seconds
        return kept.get("key")

    assert (at(0), at(599), at(600)) == ("one", "one", "two")
    # Away at the next renewal: asked once, then not before the pause is over.
    assert (at(1200), at(1200.5)) == ("two", "two")
    assert len(answers) == 2
    assert at(1300) == "two"
    assert at(1439) == "three"


def test_a_token_that_ended_is_never_used_and_one_who_tests_does_not_wait() -> None:
    clock = Clock()
    kept = Renewing(counting(["one", Permanent("no role"), "two"]), clock=clock)
    kept.get("key")

    clock.now += 840
    with pytest.raises(Permanent, match="no role"):
        kept.get("key")
    with pytest.raises(Permanent, match="no role"):  # remembered: AWS was not asked again
        kept.get("key")
    kept.try_again("key")
    assert kept.get("key") == "two"


def test_a_refused_token_is_made_anew_unless_it_is_young() -> None:
    clock = Clock()
    kept = Renewing(counting(["one", "two"]), clock=clock)
    kept.get("key")

    clock.now += 29
    kept.distrust("key")
    assert kept.get("key") == "one"
    clock.now += 1
    kept.distrust("key")
    assert kept.get("key") == "two"


def test_ten_threads_mint_one_token_and_nobody_waits_for_the_next() -> None:
    clock, made, gate = Clock(), [], threading.Event()

    def make(key: str, now: float) -> Lasting[str]:
        made.append(now)
        assert gate.wait(10)
        return Lasting(value=str(len(made)), renew_at=now + 600, ends_at=now + 840)

    kept = Renewing(make, clock=clock)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(kept.get("key"))) for _ in range(10)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert (got, len(made)) == (["1"] * 10, 1)

    clock.now += 700
    gate.clear()
    renews = threading.Thread(target=lambda: kept.get("key"))
    renews.start()
    while len(made) < 2:
        time.sleep(0.001)
    assert kept.get("key") == "1"
    gate.set()
    renews.join(10)
    assert kept.get("key") == "2"


@pytest.fixture(scope="module")
def account() -> Any:
    patch = pytest.MonkeyPatch()
    with fake_aws() as found:
        patch.setenv("AWS_ENDPOINT_URL", found.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "own")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield found
    patch.undo()


@pytest.fixture
def aws_account(account: Any) -> Any:
    """The account as new."""
    account.__init__(account.url)
    account.expected = "x-1"
    aws.role_keys.restart()
    tokens.kept_tokens.restart()
    return account


def test_a_token_of_eks_is_a_signed_question_who_am_i_for_one_cluster(aws_account) -> None:
    token = tokens.token_for(IDENTITY)

    encoded = token.removeprefix("k8s-aws-v1.")
    assert encoded != token
    assert "=" not in encoded
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.scheme, url.netloc) == ("https", "sts.eu-central-1.amazonaws.com")
    assert asked["Action"] == "GetCallerIdentity"
    assert asked["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert asked["X-Amz-Expires"] == "60"
    assert asked["X-Amz-Security-Token"] == "session"
    # Another cluster of the account: another token, of the same role's keys.
    other = AwsIdentity(role_arn=ROLE, external_id="x-1", region=REGION, cluster="data-dev")
    assert tokens.token_for(other) != token
    assert aws_account.calls == ["AssumeRole"]


def test_a_token_costs_little_and_does_not_outlive_the_keys_of_its_role(aws_account) -> None:
    tokens.token_for(IDENTITY)
    began = time.process_time()
    for _ in range(20):
        minted = aws.mint(IDENTITY, time.time())
    assert (time.process_time() - began) / 20 < 0.05
    ends = aws.role_keys.get(aws.role_of(IDENTITY)).ends_at
    assert aws.mint(IDENTITY, ends - 120).ends_at == ends
    assert minted.ends_at < ends
    assert aws_account.calls == ["AssumeRole"]


def test_a_cluster_costs_a_token_in_ten_minutes_however_many_ask(aws_account, monkeypatch) -> None:
    """Fifty minutes of three clusters, each asked by eight threads every five seconds."""
    clock, minted = Clock(), []
    clock.now = began = time.time()
    make = tokens.kept_tokens._make

    def counted(identity: Any, now: float) -> Lasting[str]:
        minted.append((identity.cluster, now - began))
        return make(identity, now)

    monkeypatch.setattr(tokens.kept_tokens, "_make", counted)
    monkeypatch.setattr(tokens.kept_tokens, "clock", clock)
    monkeypatch.setattr(aws.role_keys, "clock", clock)
    fleet = [replace(IDENTITY, cluster=name) for name in ("data-prod", "data-dev", "young")]
    with ThreadPoolExecutor(8) as threads:
        for second in range(0, 3000, 5):
            clock.now = began + second
            list(threads.map(tokens.token_for, fleet * 8))

    for identity in fleet:
        at = [seconds for cluster, seconds in minted if cluster == identity.cluster]
        assert at == [0, 600, 1200, 1800, 2400]


def test_a_private_endpoint_that_the_portal_does_not_reach_is_said(aws_account) -> None:
    connection = Connection(
        server="https://127.0.0.1:1", ca_certificate=certificate(), identity=IDENTITY
    )
    config = ClusterConfig(
        connection=connection, portal_id="p1", airflow_url="http://a.test", has_keda=False
    )

    check = KubernetesPlane(config).check()

    assert not check.is_usable
    assert "does not accept connections" in check.findings[0].detail
    assert "the portal needs a way into that network" in check.findings[0].remedy


def test_clusters_are_found_and_described(aws_account) -> None:
    role = aws.role_of(IDENTITY)

    assert aws.find_clusters(role) == ("data-prod", "data-dev", "young")
    found = aws.describe_cluster(role, "data-prod")
    assert found.server == "https://data-prod.gr7.eu-central-1.eks.amazonaws.com"
    assert found.ca_certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert found.identity == IDENTITY
    with pytest.raises(Permanent, match="has no address yet: it is CREATING"):
        aws.describe_cluster(role, "young")
    with pytest.raises(Permanent, match="Account 111122223333 has no such EKS cluster"):
        aws.describe_cluster(role, "gone")
    aws_account.endpoint = "https://{}.example.org"
    with pytest.raises(Permanent, match="is not one of AWS"):
        aws.describe_cluster(role, "data-prod")


def test_each_refusal_of_aws_is_a_sentence(aws_account) -> None:
    role = aws.role_of(IDENTITY)
    aws_account.denied = {"List"}
    with pytest.raises(Permanent, match="may not list the EKS clusters: it lacks eks:ListClusters"):
        aws.find_clusters(role)
    aws_account.denied = set()
    aws_account.expected = "of another organization"
    aws.role_keys.restart()
    with pytest.raises(Permanent, match="its trust policy lacks the portal or the external id"):
        aws.find_clusters(role)
    for status, code, kind, words in (
        (400, "Throttling", Temporary, "throttles account 111122223333"),
        (503, "ServiceUnavailable", Unreachable, "AWS failed in eu-central-1"),
        (403, "InvalidClientTokenId", Permanent, "does not accept the portal's own credentials"),
        (403, "RegionDisabledException", Permanent, "region eu-central-1 is not enabled"),
        (400, "Strange", Permanent, "AWS refused the request"),
    ):
        aws_account.error = (status, code)
        aws.role_keys.restart()
        with pytest.raises(kind, match=words) as caught:
            aws.find_clusters(role)
        assert "s3cr3t" not in caught.value.message


def test_a_role_that_anyone_may_use_through_the_portal_is_refused(aws_account) -> None:
    role = aws.role_of(IDENTITY)
    aws.refuse_open_role(role)

    aws_account.is_open = True
    with pytest.raises(Permanent, match="may be assumed without the external id"):
        aws.refuse_open_role(role)


def test_ten_minutes_without_sts_cost_nothing(aws_account, monkeypatch) -> None:
    clock = Clock()
    clock.now = time.time()
    monkeypatch.setattr(tokens.kept_tokens, "clock", clock)
    monkeypatch.setattr(aws.role_keys, "clock", clock)
    tokens.token_for(IDENTITY)
    aws_account.error = (503, "ServiceUnavailable")

    # The keys of the role are due at 40 minutes, and last an hour.
    for minutes in (10, 20, 30, 39, 41, 45, 50, 55):
        clock.now += 60
        clock.now = max(clock.now, time.time() + minutes * 60)
        assert tokens.token_for(IDENTITY).startswith("k8s-aws-v1.")
    clock.now += 15 * 60
    with pytest.raises(Unreachable, match="AWS failed"):
        tokens.token_for(IDENTITY)
    aws_account.error = None
    tokens.try_again(IDENTITY)
    assert tokens.token_for(IDENTITY)


def test_without_the_library_or_credentials_the_operator_is_named(aws_account, monkeypatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Permanent, match="no AWS credentials of its own"):
        aws.find_clusters(aws.role_of(IDENTITY))

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(aws, "import_module", missing)
    with pytest.raises(Permanent, match="installed without botocore"):
        aws.describe_cluster(aws.role_of(IDENTITY), "data-prod")


ENTRA = {"token_type": "Bearer", "expires_in": 3599, "access_token": "ey.az.ure"}


def test_azure_gives_a_token_for_its_clusters_and_lists_them() -> None:
    item = {
        "id": CLUSTER_ID,
        "location": "westeurope",
        "properties": {"kubernetesVersion": "1.33.2", "aadProfile": {"managed": True}},
    }
    old = {**item, "id": f"{CLUSTER_ID}-old", "properties": {}}
    strange = [{"id": "/subscriptions/../x"}, 7, None]
    by = Recorded(
        oauth2_v2=(200, ENTRA),
        managedClusters=(200, {"value": [item, old, *strange]}),
    )
    application = azure.Application(
        tenant=GUID, client_id=GUID, client_secret="sec", subscription=GUID
    )

    listed = azure.find_clusters(application, by=by)

    assert [(one.name, one.has_entra) for one in listed] == [("prod", True), ("prod-old", False)]
    identity = AzureIdentity(
        tenant=GUID, client_id=GUID, client_secret="sec", cluster_id=CLUSTER_ID
    )
    minted = azure.mint(identity, 1000.0, by=by)
    assert (minted.value, minted.ends_at) == ("ey.az.ure", 1000 + 3539)
    asked = by.questions[-1].form
    assert asked is not None
    assert asked["scope"] == "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
    assert "sec" not in repr(identity)
    assert "sec" not in repr(application)


@pytest.fixture(scope="module")
def google_key() -> dict[str, str]:
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": "portal@data-prod-1.iam.gserviceaccount.com",
        "private_key_id": "k1",
        "private_key": private.decode(),
        "project_id": "data-prod-1",
        "token_uri": "https://evil.example.org/token",
    }


def test_google_signs_in_by_a_key_at_google_alone_and_lists_clusters(google_key) -> None:
    account = google.Account(
        email=google_key["client_email"],
        key_id="k1",
        private_key=google_key["private_key"],
        project="data-prod-1",
    )
    by_name = {"endpoint": "gke-1.eu.gke.goog", "allowExternalTraffic": True}
    items = [
        {
            "name": "prod",
            "location": "europe-west1",
            "endpoint": "34.1.2.3",
            "currentMasterVersion": "1.33.5-gke.1",
            "masterAuth": {"clusterCaCertificate": "Q0E="},
            "controlPlaneEndpointsConfig": {"dnsEndpointConfig": by_name},
        },
        {"name": "odd", "location": "x", "endpoint": "evil.example.org"},
        "nonsense",
    ]
    by = Recorded(
        googleapis_nothing=(404, {}),
        oauth2=(200, {"access_token": "ya29.token..", "expires_in": 3599}),
        clusters=(200, {"clusters": items}),
    )

    (found,) = google.find_clusters(account, 1000.0, by=by)
    (named,) = google.find_clusters(account, 1000.0, by_dns=True, by=by)

    assert (found.server, found.ca_certificate) == ("https://34.1.2.3", "CA")
    assert (named.server, named.ca_certificate) == ("https://gke-1.eu.gke.goog", "")
    assert by.questions[0].url == "https://oauth2.googleapis.com/token"
    form = by.questions[0].form
    assert form is not None
    claims = jwt.decode(form["assertion"], options={"verify_signature": False})
    assert claims["aud"] == "https://oauth2.googleapis.com/token"
    assert (claims["iss"], claims["exp"] - claims["iat"]) == (account.email, 3600)
    assert "PRIVATE KEY" not in repr(account) + repr(found.identity)


@pytest.mark.parametrize("status", [429, 500, 401])
def test_refusals_of_the_others_are_sentences_too(status, google_key) -> None:
    by = Recorded(oauth2=(status, {"error_description": "s3cr3t"}))
    application = azure.Application(
        tenant=GUID, client_id=GUID, client_secret="sec", subscription=GUID
    )
    account = google.Account(
        email=google_key["client_email"],
        key_id="k1",
        private_key=google_key["private_key"],
        project="data-prod-1",
    )
    for act in (
        lambda: azure.find_clusters(application, by=by),
        lambda: google.find_clusters(account, 1.0, by=by),
    ):
        with pytest.raises(DataPlaneError) as caught:
            act()
        assert str(status) in caught.value.message
        assert "s3cr3t" not in caught.value.message
        assert isinstance(caught.value, Permanent if status == 401 else Temporary)
