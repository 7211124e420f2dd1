"""A real API server that asks a webhook who comes, as that of EKS does.

The webhook judges tokens by the rules of aws-iam-authenticator: the host of STS, the action, the
signed header with the name of the cluster, the age; and the signature, which STS would check. Roles
are assumed at moto.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import yaml
from moto import mock_aws

from apps.dataplane.clouds import aws, tokens
from apps.dataplane.clouds.identities import AwsIdentity
from apps.dataplane.errors import Unreachable
from apps.dataplane.kubernetes.api.errors import CredentialRefused
from apps.dataplane.kubernetes.config import Connection
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration import permissions
from tests.kubernetes.conftest import config_of
from tests.kubernetes.deployments import small_spec
from tests.kubernetes.running import RunningControlPlane

ROLE = "arn:aws:iam::111122223333:role/astro-portal"
CLUSTER = "data-prod"
OLDEST = timedelta(minutes=15)


class Authenticator:
    """Answers TokenReviews: who a token is, by the keys of the roles that were given out."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.entries = {ROLE: [permissions.ACCOUNT]}
        self.refusals: list[str] = []
        self.seen: set[str] = set()

    def review(self, token: str) -> dict[str, Any]:
        refusal = self._refusal(token)
        if refusal:
            self.refusals.append(refusal)
            return {"authenticated": False}
        self.seen.add(token)
        groups = self.entries.get(ROLE)
        if groups is None:
            return {"authenticated": False}
        user = {"username": "arn:aws:sts::111122223333:assumed-role/astro-portal/astro-portal"}
        return {"authenticated": True, "user": {**user, "groups": groups}}

    def _refusal(self, token: str) -> str:
        if not token.startswith("k8s-aws-v1."):
            return "not a token of EKS"
        encoded = token.removeprefix("k8s-aws-v1.")
        url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
        asked = dict(parse_qsl(url.query))
        if (url.scheme, url.netloc, url.path) != ("https", "sts.eu-central-1.amazonaws.com", "/"):
            return "another host"
        if (asked["Action"], asked["Version"]) != ("GetCallerIdentity", "2011-06-15"):
            return "another action"
        if "x-k8s-aws-id" not in asked["X-Amz-SignedHeaders"].split(";"):
            return "the cluster is not signed"
        if not 0 < int(asked["X-Amz-Expires"]) <= 900:
            return "it lasts too long"
        made = datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if self.now - made > OLDEST:
            return "it has ended"
        return "" if asked["X-Amz-Signature"] == _signature(url.netloc, asked) else "forged"


def _signature(host: str, asked: dict[str, str]) -> str:
    """Sign as AWS documents it (Signature Version 4), independently of the library."""
    unsigned = {name: value for name, value in asked.items() if name != "X-Amz-Signature"}
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(unsigned.items())
    )
    headers = f"host:{host}\nx-k8s-aws-id:{CLUSTER}\n"
    empty = hashlib.sha256(b"").hexdigest()
    request = "\n".join(("GET", "/", query, headers, asked["X-Amz-SignedHeaders"], empty))
    scope = asked["X-Amz-Credential"].partition("/")[2]
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", asked["X-Amz-Date"], scope, hashed))
    keys = [one.current for one in aws.role_keys._slots.values() if one.current]
    key = f"AWS4{keys[0].value.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.fixture(scope="module")
def authenticator() -> Iterator[tuple[Authenticator, str]]:
    judge = Authenticator()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {**body, "status": judge.review(body["spec"]["token"])}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield judge, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def eks(authenticator: tuple[Authenticator, str], tmp_path_factory: Any) -> Iterator[Any]:
    """An API server with the webhook, and with the manifest of the page of an EKS cluster."""
    folder: Path = tmp_path_factory.mktemp("eks") / "plane"
    folder.mkdir(mode=0o700)
    webhook = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "w", "cluster": {"server": authenticator[1]}}],
        "users": [{"name": "w"}],
        "contexts": [{"name": "w", "context": {"cluster": "w", "user": "w"}}],
        "current-context": "w",
    }
    (folder / "webhook.yaml").write_text(yaml.safe_dump(webhook))
    flags = (
        "--authentication-token-webhook-config-file=webhook.yaml",
        "--authentication-token-webhook-version=v1",
        # Each request asks, so that what the webhook says holds at once.
        "--authentication-token-webhook-cache-ttl=0s",
    )
    plane = RunningControlPlane(folder, flags=flags)
    try:
        plane.start_bare(has_keda=True)
        given = permissions.manifest_for_group()
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=given)
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def connection(
    control_plane: Any, eks: RunningControlPlane, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """`control_plane` leaves the test out where its programs are missing."""
    aws.role_keys.restart()
    tokens.kept_tokens.restart()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own")
    identity = AwsIdentity(
        role_arn=ROLE, external_id="astro-portal-1", region="eu-central-1", cluster=CLUSTER
    )
    with mock_aws():
        yield Connection(
            server=eks.connection.server,
            ca_certificate=eks.connection.ca_certificate,
            identity=identity,
        )


def test_a_deployment_is_applied_with_minted_tokens_that_are_renewed(
    connection: Connection,
    authenticator: tuple[Authenticator, str],
    eks: RunningControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = authenticator[0]
    judge.seen.clear()
    plane = KubernetesPlane(config_of(connection))

    check = plane.check()
    assert check.is_usable, check
    plane.apply(spec=small_spec("eks-1"))
    assert eks.exists("namespace", "airflow-eks-1")
    assert len(judge.seen) == 1

    # The cluster does not take it after 15 minutes, and by then it was renewed.
    shift = 11 * 60
    monkeypatch.setattr(tokens.kept_tokens, "clock", lambda: time.time() + shift)
    time.sleep(1.1)  # the date of a signature has seconds
    plane.reach()
    assert len(judge.seen) == 2
    assert judge.refusals == []


def test_a_missing_access_entry_a_token_of_another_cluster_and_an_old_one_are_told(
    connection: Connection, authenticator: tuple[Authenticator, str]
) -> None:
    judge = authenticator[0]
    plane = KubernetesPlane(config_of(connection))
    judge.entries.clear()
    try:
        with pytest.raises(CredentialRefused, match="its access entry is missing"):
            plane.reach()
        detail = plane.check().findings[0].detail
        assert "command that creates it" in detail
        assert "k8s-aws-v1" not in detail
    finally:
        judge.entries[ROLE] = [permissions.ACCOUNT]
    plane.reach()

    before = judge.now
    judge.now = datetime.now(UTC) + timedelta(minutes=16)
    # An API server remembers for seconds whom it let in: a token that it has not seen.
    time.sleep(1.1)
    tokens.kept_tokens.restart()
    with pytest.raises(CredentialRefused):
        plane.reach()
    judge.now = before
    assert judge.refusals.pop() == "it has ended"

    assert connection.identity is not None
    elsewhere = AwsIdentity(**{**connection.identity.__dict__, "cluster": "data-dev"})
    other = Connection(**{**connection.__dict__, "identity": elsewhere})
    with pytest.raises(CredentialRefused):
        KubernetesPlane(config_of(other)).reach()
    assert judge.refusals.pop() == "forged"


def test_a_cluster_made_anew_under_its_name_is_not_trusted(
    connection: Connection, control_plane: Any
) -> None:
    anew = Connection(**{**connection.__dict__, "server": control_plane.connection.server})

    with pytest.raises(Unreachable, match="that the registered CA did not sign"):
        KubernetesPlane(config_of(anew)).reach()
    finding = KubernetesPlane(config_of(anew)).check().findings[0]
    assert "made anew under its name, connect it again" in finding.remedy
