"""A cluster is registered through the pages, on a real API server: what the portal's manifest gives
is all it needs, and what is missing is named.
"""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from apps.clusters.connections.planes import config_for, plane_for
from apps.clusters.connections.renewal import renew_tokens
from apps.clusters.models import Cluster
from apps.dataplane.kubernetes.plane import KubernetesPlane
from apps.dataplane.kubernetes.registration import permissions
from tests.dataplane.local_world import eventually
from tests.kubernetes.control_plane import ControlPlane
from tests.kubernetes.test_faults_of_the_credential import is_refused

pytestmark = pytest.mark.django_db
LIST = "/o/nordhavn/clusters/"
SETTING = "apps.dataplane.kubernetes.plane.KubernetesPlane"


@pytest.fixture
def browser(alice: Any, client_of: Any, settings: Any) -> Client:
    settings.DATA_PLANES = settings.DATA_PLANES | {"kubernetes": SETTING}
    settings.CLUSTER_NETWORKS = ["127.0.0.0/8"]
    client: Client = client_of(alice)
    return client


@pytest.fixture
def token(control_plane: ControlPlane) -> str:
    """The token of the account that the manifest makes."""
    control_plane.kubectl("apply", "-f", "-", given=permissions.manifest())
    for _ in range(100):
        secret = json.loads(
            control_plane.kubectl(
                "-n", permissions.NAMESPACE, "get", "secret", permissions.TOKEN_SECRET, "-o", "json"
            )
        )
        if "token" in secret.get("data", {}):
            return base64.b64decode(secret["data"]["token"]).decode()
        time.sleep(0.1)
    raise AssertionError("The cluster made no token.")


def register(browser: Client, control_plane: ControlPlane, token: str) -> Cluster:
    connection = control_plane.connection
    fields = {
        "name": "real",
        "server": connection.server,
        "ca_certificate": connection.ca_certificate,
        "token": token,
    }
    page = browser.post(f"{LIST}register/?by=token", fields)
    assert page.status_code == 302, page.content.decode()
    return Cluster.objects.get(kind="kubernetes")


def test_the_manifest_gives_all_that_the_portal_needs(
    browser: Client, control_plane: ControlPlane, token: str
) -> None:
    cluster = register(browser, control_plane, token)

    assert [one for one in cluster.check_result["permissions"] if one["missing"]] == []
    assert cluster.is_usable
    assert cluster.has_keda
    assert cluster.version.startswith("v1.")
    assert cluster.identity_seen
    assert cluster.check_result["storage_classes"] == ["instant"]
    page = browser.get(f"{LIST}{cluster.pk}/").content.decode()
    assert "Ready" in page
    assert token not in page
    assert isinstance(plane_for(cluster), KubernetesPlane)


def test_a_permission_that_was_taken_away_is_named(
    browser: Client, control_plane: ControlPlane
) -> None:
    rules = [
        {"apiGroups": [rule.group], "resources": list(rule.resources), "verbs": list(rule.verbs)}
        for rule in permissions.NEEDED
        if "networkpolicies" not in rule.resources
    ]
    lacking = control_plane.service_account("lacks-a-rule", rules=rules)

    cluster = register(browser, control_plane, lacking)

    missing = [one for one in cluster.check_result["permissions"] if one["missing"]]
    assert [one["what"] for one in missing] == ["networkpolicies.networking.k8s.io"]
    assert not cluster.is_usable
    page = browser.get(f"{LIST}{cluster.pk}/").content.decode()
    assert "1 permission is missing." in page
    assert "kind: ClusterRole" in page


def test_a_credential_that_the_cluster_refuses_never_takes_the_place_of_one_that_works(
    browser: Client, control_plane: ControlPlane, token: str
) -> None:
    cluster = register(browser, control_plane, token)
    address = f"{LIST}{cluster.pk}/credential/"
    fields = {"server": cluster.server, "ca_certificate": cluster.ca_certificate}

    refused = browser.post(f"{address}?by=token", {**fields, "token": "nobody-knows-me"})
    replaced = browser.post(address, {"kubeconfig": control_plane.kubeconfig.read_text()})

    assert refused.status_code == 422
    assert "The current credential stays in use." in refused.content.decode()
    assert replaced.status_code == 302, replaced.content.decode()
    cluster.refresh_from_db()
    assert cluster.connection_version == 2
    assert config_for(cluster).connection.token != token


def test_an_address_where_nobody_listens_is_kept_with_the_reason(
    browser: Client, control_plane: ControlPlane
) -> None:
    fields = {
        "name": "closed",
        "server": "https://127.0.0.1:1",
        "ca_certificate": control_plane.connection.ca_certificate,
        "token": "x",
    }

    page = browser.post(f"{LIST}register/?by=token", fields, follow=True)

    assert "Not ready" in page.content.decode()
    assert not Cluster.objects.get(name="closed").is_usable


def test_this_machine_is_refused_unless_the_operator_allows_it(
    browser: Client, control_plane: ControlPlane, settings: Any
) -> None:
    settings.CLUSTER_NETWORKS = []

    page = browser.post(
        f"{LIST}register/", {"name": "x", "kubeconfig": control_plane.kubeconfig.read_text()}
    )

    assert page.status_code == 422
    assert "PORTAL_CLUSTER_NETWORKS" in page.content.decode()


def _can_renew(plane: Any) -> bool:
    return any(one.title == "Token" and one.is_ok for one in plane.check().findings)


@pytest.fixture
def access(control_plane: ControlPlane) -> Iterator[str]:
    """Make an account as the manifest does that no other test has, and return its namespace."""
    namespace, everything = f"access-{secrets.token_hex(3)}", permissions.manifest()
    kinds = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole")
    made = [one for one in yaml.safe_load_all(everything) if one["kind"] in kinds]
    text = yaml.safe_dump_all(made).replace(permissions.NAMESPACE, namespace)
    control_plane.kubectl("apply", "-f", "-", given=text)
    account = f"--serviceaccount={namespace}:{permissions.ACCOUNT}"
    role = f"--clusterrole={permissions.ACCOUNT}"
    control_plane.kubectl("create", "clusterrolebinding", namespace, role, account)
    yield namespace
    control_plane.kubectl("delete", "clusterrolebinding", namespace)
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")


def test_a_token_that_ends_is_renewed_by_its_own_account_and_told_where_it_cannot_be(
    browser: Client, control_plane: ControlPlane, access: str
) -> None:
    """A token of ten minutes, the least there is; only the portal's clock is moved."""
    there, name = f"--namespace={access}", permissions.ACCOUNT
    short = control_plane.kubectl("create", "token", name, there, "--duration=600s").strip()
    cluster = register(browser, control_plane, short)
    found = {one["title"]: one for one in cluster.check_result["findings"]}
    assert found["Token"]["detail"] == "The portal renews it before it ends."
    assert cluster.credential_expires_at is not None

    now = timezone.now()
    tokens = [short]
    for at in (now, now + timedelta(seconds=500)):
        assert renew_tokens(now=at) == 1
        cluster.refresh_from_db()
        tokens.append(config_for(cluster).connection.token)
        plane_for(cluster).check()
    assert len(set(tokens)) == 3
    assert cluster.credential_expires_at is None
    assert "tokens are renewed" in browser.get(f"{LIST}{cluster.pk}/").content.decode()

    itself = f"--as=system:serviceaccount:{access}:{name}"
    for other in ("default", there), ("default", "--namespace=kube-system"):
        said = control_plane.kubectl("create", "token", *other, itself, may_fail=True)
        assert "forbidden" in said, other
    control_plane.kubectl("delete", "rolebinding", "renew-own-token", there)
    eventually(lambda: not _can_renew(plane_for(cluster)), seconds=10)
    assert renew_tokens(now=now + timedelta(seconds=1000)) == 0
    cluster.refresh_from_db()
    assert cluster.credential_expires_at == cluster.token_ends_at
    Cluster.objects.update(credential_expires_at=None, renew_token_at=now)
    control_plane.kubectl("delete", "serviceaccount", name, there)
    plane = plane_for(cluster)
    assert isinstance(plane, KubernetesPlane)
    eventually(lambda: is_refused(plane), seconds=30)
    assert renew_tokens(now=now + timedelta(seconds=1000)) == 0
    cluster.refresh_from_db()
    assert cluster.credential_expires_at == cluster.token_ends_at
