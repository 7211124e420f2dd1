"""The morning look: what failed, which queues were full, what ends soon."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.core.certificates import ca_ends_at
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from apps.layers.models import Layer
from apps.object_stores.models import ObjectStore
from apps.organizations.models import Organization, Workspace
from apps.organizations.tokens.personal import create_personal_token
from apps.organizations.tokens.services import create_token
from apps.package_indexes.models import PackageIndex
from apps.portal.home.certificates import certificates_that_end
from apps.runtimes.catalogue import runtimes
from apps.sso.models import SSOConnection
from tests.alerts.examples import ended
from tests.conftest import role
from tests.core.pages import check_page
from tests.kubernetes.certificates import Authority
from tests.observability.incidents import make_incident

pytestmark = pytest.mark.django_db


def text_of(client: Client, path: str = "/o/nordhavn/") -> str:
    response = client.get(path)
    assert response.status_code == 200
    text = response.content.decode()
    check_page(text)
    return " ".join(text.split())


@pytest.fixture
def client(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


def test_what_failed_in_the_last_day_is_shown_by_dag(client: Client, deployment: Deployment):
    now = timezone.now()
    for number in range(3):
        ended(deployment, "orders", run=f"r{number}", at=now - timedelta(hours=number))
    ended(deployment, "a/../<b>", run="x", at=now)
    ended(deployment, "old", at=now - timedelta(hours=25))
    ended(deployment, "task_only", task="load", at=now)

    for path in ("/", "/o/nordhavn/"):
        text = text_of(client, path)
        assert "orders</a> failed 3 times" in text
        assert "&lt;b&gt;" in text
        assert "old</a> failed" not in text
        assert "task_only" not in text
        assert "No queue was at capacity." in text


def test_a_quiet_night_says_so(client: Client, deployment: Deployment):
    assert "No DAG run" in text_of(client)


def test_queues_that_were_full_are_shown_those_that_still_are_first(
    client: Client, deployment: Deployment
):
    now = timezone.now()
    kind = {"kind": "queue-at-capacity", "opened_at": now - timedelta(hours=3)}
    make_incident(deployment, subject="over", title="Queue over was full", closed_at=now, **kind)
    make_incident(deployment, subject="heavy", title="Queue heavy is full", **kind)
    long_ago = {"opened_at": now - timedelta(days=9), "closed_at": now - timedelta(days=8)}
    make_incident(deployment, subject="x", title="Long ago", **{**kind, **long_ago})

    text = text_of(client)

    assert text.index("Queue heavy is full") < text.index("Queue over was full")
    assert "Long ago" not in text


def test_what_ends_soon_is_shown_to_those_who_may_see_it(
    client: Client,
    deployment: Deployment,
    organization: Organization,
    workspace: Workspace,
    alice: User,
    bob: User,
    client_of: Callable[[User], Client],
):
    now = timezone.now()
    soon = now + timedelta(days=3)
    create_token(
        actor=alice,
        on=workspace,
        name="Deployer",
        role=role("workspace", "author"),
        expires_at=soon,
    )
    create_token(
        actor=alice,
        on=organization,
        name="Later",
        role=role("organization", "member"),
        expires_at=now + timedelta(days=60),
    )
    bob.workspacegrant_set.update(expires_at=soon)
    Cluster.objects.create(
        organization=organization,
        kind="local",
        name="eu-central",
        credential_expires_at=now - timedelta(days=1),
        ca_expires_at=soon,
    )
    deployment.applied.config["runtime"] = runtimes()[-1].version
    deployment.applied.save()

    text = text_of(client)

    assert "API token Deployer" in text
    assert f"Workspace Member of {bob}" in text
    assert "Later" not in text
    assert "Credential of the cluster" in text
    assert "CA certificate of the cluster" in text
    assert text.count("ended <time") == 1
    theirs = text_of(client_of(bob))
    assert "Workspace Member of" in theirs
    assert "API token Deployer" not in theirs


def test_a_person_who_sees_no_airflow_is_not_told_names_of_dags(
    deployment: Deployment, workspace: Workspace, bob: User, client_of: Callable[[User], Client]
):
    ended(deployment, "secret_dag", at=timezone.now())
    bob.workspacegrant_set.update(permission=role("workspace", "accessor").permission)

    assert "secret_dag" not in text_of(client_of(bob))


def test_cas_that_end_are_told_to_those_who_see_the_cluster(
    client: Client,
    organization: Organization,
    charlie: User,
    client_of: Callable[[User], Client],
) -> None:
    cluster = Cluster.objects.create(organization=organization, kind="local", name="eu-central")
    Layer.objects.create(
        cluster=cluster, values={"ca_bundle": Authority("Corp Root CA").certificate}
    )

    assert "CA “Corp Root CA”" in text_of(client)
    assert "Corp Root CA" not in text_of(client_of(charlie), "/")


def test_cas_of_a_workspace_and_of_the_portal_are_told_to_those_who_change_them(
    client: Client,
    workspace: Workspace,
    alice: User,
    bob: User,
    client_of: Callable[[User], Client],
    settings: Any,
) -> None:
    settings.GIT_CA = Authority("Git CA").certificate
    for place, name in (({"workspace": workspace}, "Team CA"), ({}, "Portal CA")):
        Layer.objects.create(**place, values={"ca_bundle": Authority(name).certificate})

    assert "CA “Team CA”" in text_of(client, "/")
    assert "Portal CA" not in text_of(client, "/")
    assert "PORTAL_GIT_CA" not in text_of(client, "/")
    assert "Team CA" not in text_of(client_of(bob), "/")

    alice.is_operator = True
    alice.save(update_fields=["is_operator"])
    assert "CA “Portal CA”" in text_of(client, "/")
    assert "PORTAL_GIT_CA" in text_of(client, "/")
    assert "Portal CA" not in text_of(client, "/o/nordhavn/")


@pytest.fixture
def certified(organization: Organization, workspace: Workspace, deployment: Deployment) -> str:
    """Give everything that is trusted by certificates those of an authority that ends tomorrow, and
    return it.
    """
    ends = Authority("Corp", lasts=timedelta(days=1)).certificate
    ObjectStore.objects.create(
        organization=organization, use="backups", bucket="night", secret=b"x", ca_certificate=ends
    )
    for place in (organization, workspace, deployment):
        PackageIndex.objects.create(
            **{place.access_scope: place}, name=f"of-{place.access_scope}", ca_certificate=ends
        )
    configs = {
        "saml": {"certificates": [ends, Authority("Next").certificate]},
        "openid_connect": {"issuer": "https://idp.test", "ca_certificate": ends},
    }
    for protocol, config in configs.items():
        SSOConnection.objects.create(
            organization=organization,
            key=f"k-{protocol}",
            protocol=protocol,
            name=f"By {protocol}",
            config=config,
            is_enabled=True,
            tested_at=timezone.now(),
        )
    return ends


def test_certificates_of_servers_that_end_are_told_to_those_who_replace_them(
    client: Client,
    certified: str,
    alice: User,
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
) -> None:
    for path in ("/", "/o/nordhavn/"):
        text = text_of(client, path)
        assert "CA certificate of the bucket" in text
        assert text.count("CA certificate of the package index") == 3
        assert text.count("Certificate of the identity provider") == 2
        assert "/d/" in text

    for person in (bob, charlie):
        theirs = text_of(client_of(person), "/")
        assert "CA certificate of" not in theirs
        assert "Certificate of the" not in theirs


def test_the_pages_and_the_api_say_when_they_end(
    client: Client,
    certified: str,
    deployment: Deployment,
    alice: User,
    organization: Organization,
) -> None:
    ends_at = ca_ends_at(certified)
    assert ends_at is not None
    day = f"{ends_at.day} {ends_at:%b %Y}"

    assert f">{day}" in text_of(client, "/o/nordhavn/buckets/")
    of_indexes = text_of(client, f"/d/{deployment.ref}/package-indexes/")
    assert of_indexes.count(f"Its CA certificate expires on {day}") == 3
    for key in ("k-saml", "k-openid_connect"):
        path = reverse("sso:connection", args=["nordhavn", key])
        assert "valid until <time" in text_of(client, path)

    _, secret = create_personal_token(user=alice, organization=organization, name="CLI", days=1)
    program = Client(headers={"Authorization": f"Bearer {secret}"})
    root = f"/v1/organizations/{public_id('organization', organization.pk)}"
    (bucket,) = program.get(f"{root}/buckets").json()["buckets"]
    indexes = program.get(f"{root}/package-indexes").json()["packageIndexes"]
    told = {one["caExpiresAt"] for one in (bucket, *indexes)}
    assert told == {f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"}


def test_the_last_certificate_of_an_identity_provider_counts_and_what_is_unused_does_not(
    client: Client, certified: str
) -> None:
    long = Authority("Next", lasts=timedelta(days=900)).certificate
    SSOConnection.objects.filter(protocol="saml").update(config={"certificates": [certified, long]})
    SSOConnection.objects.filter(protocol="openid_connect").update(is_enabled=False)
    ObjectStore.objects.update(retired_at=timezone.now())
    PackageIndex.objects.update(ca_certificate=long)

    assert "CA certificate of" not in text_of(client)
    assert "Certificate of the identity provider" not in text_of(client)


def test_more_that_ends_asks_no_more_queries(
    certified: str, alice: User, organization: Organization, django_assert_num_queries: Any
) -> None:
    def ends() -> int:
        return len(list(certificates_that_end(alice, None, [], timezone.now())))

    with django_assert_num_queries(5):
        assert ends() == 6
    for number in range(5):
        PackageIndex.objects.create(
            organization=organization, name=f"more-{number}", ca_certificate=certified
        )
    with django_assert_num_queries(5):
        assert ends() == 11
