"""The pages of clusters: owners register, test, change and remove; members look; others see
nothing.
"""

import itertools
import json
import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from apps.audit.models import AuditEvent
from apps.clusters.connections import sealed
from apps.clusters.connections.planes import config_for
from apps.clusters.models import Cluster
from apps.clusters.queries import clusters_of, state_of, with_tone
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Finding, Permission, PlaneCheck
from tests.clusters.material import CANARY, NOW, SERVER, b64, certificate, kubeconfig
from tests.conftest import custom_role, make_user, put_role
from tests.core.pages import check_page

GOOGLE_KEY = json.dumps({"type": "service_account", "private_key": "canary-of-google"})
pytestmark = pytest.mark.django_db
LIST = "/o/nordhavn/clusters/"
GOOD = PlaneCheck(
    is_usable=True,
    version="v1.37.2",
    findings=(Finding(title="KEDA", is_ok=True, detail="KEDA 2.20 is there."),),
    permissions=(Permission(what="pods", verbs=("get",), why="Health"),),
    storage_classes=("standard",),
    has_keda=True,
    latency_ms=12,
    identity="uid-1",
)
LACKING = PlaneCheck(
    is_usable=False,
    version="v1.37.2",
    findings=(),
    permissions=(
        Permission(what="pods", verbs=("get",), why="Health"),
        Permission(what="secrets", verbs=("get", "create"), missing=("create",), why="Identity"),
    ),
    has_keda=False,
    identity="uid-1",
)


@pytest.fixture
def browser(alice, client_of) -> Any:
    FakePlane.store.found = GOOD
    return client_of(alice)


def pages_of(cluster: Cluster) -> list[str]:
    own = f"{LIST}{cluster.pk}/"
    return [own, *(f"{own}{page}/" for page in ("settings", "workspaces", "credential", "remove"))]


def test_an_owner_registers_a_cluster_by_kubeconfig(browser, organization) -> None:
    page = browser.post(f"{LIST}register/", {"name": "eu-1", "kubeconfig": kubeconfig()})

    cluster = Cluster.objects.get(kind="kubernetes")
    assert page.status_code == 302
    assert page["Location"] == f"{LIST}{cluster.pk}/"
    assert (cluster.server, cluster.version, cluster.has_keda) == (SERVER, "v1.37.2", True)
    assert cluster.ca_expires_at == NOW + timedelta(days=365 * 20)
    assert config_for(cluster).connection.token == CANARY
    shown = browser.get(page["Location"]).content.decode()
    assert "KEDA 2.20 is there." in shown
    assert "standard" in shown
    assert CANARY not in shown
    event = AuditEvent.objects.get(action="cluster.registered")
    assert event.changes == {"server": [None, SERVER]}


def test_an_owner_registers_a_cluster_by_token(browser, organization) -> None:
    fields = {"name": "eu-1", "server": SERVER, "ca_certificate": certificate(), "token": CANARY}

    page = browser.post(f"{LIST}register/?by=token", fields)

    assert page.status_code == 302
    assert config_for(Cluster.objects.get(kind="kubernetes")).connection.token == CANARY


def test_missing_permissions_are_named_with_the_manifest_that_gives_them(browser, remote) -> None:
    FakePlane.store.found = LACKING

    page = browser.post(f"{LIST}{remote.pk}/check/", follow=True).content.decode()

    assert "1 permission is missing." in page
    assert page.index("secrets") < page.index("<code>pods</code>")
    assert "kind: ClusterRole" in page
    assert "kubectl apply -f astro-portal-role.yaml" in page
    remote.refresh_from_db()
    assert not remote.is_usable


def test_a_cluster_that_does_not_answer_is_kept_and_says_so(browser, organization) -> None:
    FakePlane.store.fail("check", Unreachable("Nobody listens at cluster.example.org."))

    page = browser.post(
        f"{LIST}register/", {"name": "eu-1", "kubeconfig": kubeconfig()}, follow=True
    )

    assert page.status_code == 200
    assert "Nobody listens at cluster.example.org." in page.content.decode()
    assert "Not ready" in browser.get(LIST).content.decode()


def test_a_test_that_hangs_ends(browser, remote, monkeypatch) -> None:
    monkeypatch.setattr("apps.clusters.connections.probe.DEADLINE_SECONDS", 0.01)
    monkeypatch.setattr(FakePlane, "check", lambda _plane: time.sleep(0.2))

    page = browser.post(f"{LIST}{remote.pk}/check/", follow=True).content.decode()

    assert "There was no answer within" in page


def test_a_fragment_answers_a_test_by_script(browser, remote) -> None:
    page = browser.post(f"{LIST}{remote.pk}/check/", headers={"HX-Request": "true"})

    assert page.status_code == 200
    assert page.content.decode().lstrip().startswith('<div class="stack" data-gap="l" id="cluster"')


def test_what_was_typed_stays_but_no_secret_comes_back(browser, remote) -> None:
    fields = {"name": "EU-1", "kubeconfig": kubeconfig(), "context": "main"}

    page = browser.post(f"{LIST}register/", fields)

    shown = page.content.decode()
    assert page.status_code == 422
    assert "has a cluster called EU-1 already" in shown
    assert 'value="EU-1"' in shown
    assert 'value="main"' in shown
    assert "Kept, encrypted" in shown
    assert "Paste it again" not in shown
    assert CANARY not in shown


@pytest.mark.parametrize(
    ("way", "fields", "says"),
    [
        ("", {}, "Paste the kubeconfig."),
        ("", {"name": ""}, "This field is required."),
        ("", {"name": "x" * 61}, "at most 60 characters"),
        ("", {"name": "a\u202eb"}, "cannot be shown"),
        ("", {"kubeconfig": kubeconfig(user={"exec": {"command": "sh"}})}, "does not run programs"),
        ("", {"kubeconfig": kubeconfig(), "context": "nope"}, "no context of this name"),
        ("?by=token", {"token": CANARY}, "This field is required."),
        ("?by=token", {"server": "http://x"}, "must begin with https://"),
        ("?by=token", {"server": SERVER, "ca_certificate": "x"}, "cannot be read"),
        ("?by=token", {"token": "a b"}, "This is no token"),
        ("?by=token", {"token": f'"{CANARY}"'}, "This is no token"),
        ("?by=token", {"tls_server_name": "a b"}, "must be a host name"),
    ],
)
def test_bad_input_gets_a_sentence(browser, organization, way, fields, says) -> None:
    page = browser.post(f"{LIST}register/{way}", {"name": "eu-1", **fields})

    assert page.status_code == 422
    assert says in page.content.decode()
    assert CANARY not in page.content.decode()
    assert not Cluster.objects.exists()


def test_a_paste_of_ten_megabytes_is_refused_in_words(browser, organization) -> None:
    browser.raise_request_exception = False

    page = browser.post(f"{LIST}register/", {"name": "x", "kubeconfig": "x" * 10_000_000})

    assert page.status_code in (400, 413)


def test_a_name_that_points_at_this_machine_is_refused(browser, organization, monkeypatch) -> None:
    found = [(2, 1, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments, **_keywords: found)
    fields = {
        "name": "x",
        "server": "https://rebind.example.org",
        "ca_certificate": certificate(),
        "token": CANARY,
    }

    page = browser.post(f"{LIST}register/?by=token", fields)

    assert page.status_code == 422
    assert "rebind.example.org is 127.0.0.1" in page.content.decode()
    assert not Cluster.objects.exists()


def test_keda_that_is_found_or_missed_is_applied_to_what_runs(browser, remote) -> None:
    Cluster.objects.update(has_keda=False)
    for found, version in ((GOOD, 2), (GOOD, 2), (LACKING, 3)):
        FakePlane.store.found = found
        browser.post(f"{LIST}{remote.pk}/check/")

        remote.refresh_from_db()
        assert remote.settings_version == version
    FakePlane.store.found = GOOD

    browser.post(f"{LIST}{remote.pk}/credential/", {"kubeconfig": kubeconfig()})

    remote.refresh_from_db()
    assert (remote.has_keda, remote.settings_version) == (True, 4)


def test_namespaces_with_users_of_their_own_are_found_and_applied_once(browser, remote) -> None:
    FakePlane.store.found = replace(GOOD, gives_user_ids=True)

    for _ in range(2):
        browser.post(f"{LIST}{remote.pk}/check/")

    remote.refresh_from_db()
    assert (remote.gives_user_ids, remote.settings_version) == (True, 2)
    assert config_for(remote).gives_user_ids


def test_a_credential_is_replaced_after_it_passed_its_test(browser, remote) -> None:
    Cluster.objects.update(unreachable_since=NOW, failures=7, last_error="401", blind_until=NOW)
    new = kubeconfig(user={"token": "a-new-one"})

    page = browser.post(f"{LIST}{remote.pk}/credential/", {"kubeconfig": new})

    assert page.status_code == 302
    remote.refresh_from_db()
    assert config_for(remote).connection.token == "a-new-one"
    assert remote.connection_version == 2
    assert (remote.failures, remote.last_error, remote.unreachable_since) == (0, "", None)
    assert remote.blind_until is None
    event = AuditEvent.objects.get(action="cluster.credential_replaced")
    assert "a-new-one" not in json.dumps(event.changes)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (LACKING, "It lacks permissions that the current one has."),
        (PlaneCheck(is_usable=False, version="", findings=()), "current credential stays"),
        (
            PlaneCheck(is_usable=True, version="v1", findings=(), identity="uid-2"),
            "for another cluster",
        ),
    ],
)
def test_the_present_credential_stays_when_the_new_one_fails(browser, remote, found, says) -> None:
    Cluster.objects.update(identity_seen="uid-1")
    FakePlane.store.found = found

    page = browser.post(
        f"{LIST}{remote.pk}/credential/",
        {"kubeconfig": kubeconfig(user={"token": "a-new-one"})},
    )

    assert page.status_code == 422
    assert says in page.content.decode()
    assert "Kept, encrypted" in page.content.decode()
    assert "a-new-one" not in page.content.decode()
    remote.refresh_from_db()
    assert config_for(remote).connection.token == CANARY
    assert remote.connection_version == 1


@pytest.fixture
def caretaker(organization, alice, client_of) -> Any:
    """Manages clusters and may do nothing else."""
    made = custom_role(
        "Clusters",
        frozenset(
            {
                "organization.view",
                "organization.clusters.view",
                "organization.clusters.manage",
            }
        ),
        organization=organization,
        actor=alice,
    )
    user = make_user("Carl")
    put_role(user, made, organization)
    FakePlane.store.found = GOOD
    return client_of(user)


def moved(**changes: Any) -> dict[str, str]:
    fields = {
        "server": SERVER,
        "ca_certificate": certificate(),
        "tls_server_name": "",
        "token": "a-new-one",
    }
    return fields | changes


MOVES = [
    {"server": "https://10.66.6.6:6443"},
    {"server": "https://10.20.30.40:7443"},
    {"server": "https://10.20.30.40:6443/proxy"},
    {"ca_certificate": certificate("evil")},
    {"ca_certificate": certificate() + certificate("evil")},
    {"tls_server_name": "evil.example.org"},
]


@pytest.mark.parametrize("change", MOVES)
def test_only_an_owner_gives_a_cluster_another_address(caretaker, browser, remote, change) -> None:
    """What answers there says itself that it is the same cluster: that proves nothing."""
    Cluster.objects.update(identity_seen="uid-1")
    address = f"{LIST}{remote.pk}/credential/?by=token"

    page = caretaker.post(address, moved(**change))

    assert page.status_code == 422
    assert "Only an owner" in page.content.decode()
    remote.refresh_from_db()
    assert (remote.server, remote.connection_version) == (SERVER, 1)
    assert config_for(remote).connection.token == CANARY
    assert "only an owner of the organization" in caretaker.get(address).content.decode()
    assert browser.post(address, moved(**change)).status_code == 302


def test_who_manages_clusters_replaces_the_credential_alone(caretaker, remote) -> None:
    Cluster.objects.update(identity_seen="uid-1")
    spaced = certificate().replace("\n", "\r\n") + "\n"

    page = caretaker.post(f"{LIST}{remote.pk}/credential/?by=token", moved(ca_certificate=spaced))

    assert page.status_code == 302
    remote.refresh_from_db()
    assert config_for(remote).connection.token == "a-new-one"


def test_a_cluster_that_does_not_tell_which_one_it_is_proves_nothing(browser, remote) -> None:
    Cluster.objects.update(identity_seen="uid-1")
    FakePlane.store.found = replace(GOOD, identity="")

    page = browser.post(f"{LIST}{remote.pk}/credential/", {"kubeconfig": kubeconfig()})

    assert page.status_code == 422
    assert "does not tell which one it is" in page.content.decode()


def settings_of(cluster: Cluster, **changes: Any) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "storage_class": "",
        "logs_in": "claim",
        "logs_storage_class": "",
        "logs_access": "ReadWriteMany",
        "logs_size": "5Gi",
        "database_port": "5432",
        "history_days": "365",
        "database_size": "5Gi",
        "database_sslmode": "prefer",
        **changes,
    }


def test_settings_are_kept_sealed_and_never_shown(browser, remote) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    changes = {
        "logs_in": "object_store",
        "logs_url": "s3://airflow-logs/prod",
        "logs_access_key": "AKIA1",
        "logs_secret_key": f"{CANARY}-1",
        "database_host": "db.example.org",
        "database_user": "portal",
        "database_password": f"{CANARY}-2",
        "image_pull_secret": json.dumps({"auths": {"r": {"auth": f"{CANARY}-3"}}}),
        "registry_repository": "registry.example.org:5000/data/airflow",
        "registry_user": "builder",
        "registry_password": f"{CANARY}-4",
        "runtime_repository": "registry.example.org:5000/mirror/airflow",
        "image_mirror": "registry.example.org:5000/docker-hub",
        "package_index": "https://pypi.example.org/simple",
    }

    page = browser.post(address, settings_of(remote, **changes))

    assert page.status_code == 302
    remote.refresh_from_db()
    assert remote.connection_version == 2
    assert sealed.opened(remote, "database_password") == f"{CANARY}-2"
    assert CANARY not in browser.get(address).content.decode()
    assert CANARY not in json.dumps(AuditEvent.objects.get(action="cluster.updated").changes)
    # Empty secrets leave the stored ones.
    kept = {name: changes[name] for name in changes if "secret" not in name and "pass" not in name}
    assert browser.post(address, settings_of(remote, **kept)).status_code == 302
    remote.refresh_from_db()
    assert remote.connection_version == 2
    assert sealed.opened(remote, "logs_secret_key") == f"{CANARY}-1"
    registry = config_for(remote).registry
    assert config_for(remote).image_mirror == "registry.example.org:5000/docker-hub"
    assert registry
    assert (registry.host, registry.user) == ("registry.example.org:5000", "builder")
    assert registry.password == f"{CANARY}-4"
    assert CANARY not in repr(registry)
    # Whoever names another repository types the password again; without one there is none.
    other = {**kept, "registry_repository": "evil.example.org/data"}
    moved = browser.post(address, settings_of(remote, **other))
    assert "Enter the password for this repository." in moved.content.decode()
    gone = {**kept, "registry_repository": "", "registry_user": ""}
    assert browser.post(address, settings_of(remote, **gone)).status_code == 302
    remote.refresh_from_db()
    assert remote.registry_password is None
    assert config_for(remote).registry is None


def test_logs_go_to_google_and_azure_with_a_key_or_with_the_rights_of_pods(browser, remote) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    google = {"logs_in": "object_store", "logs_url": "gs://logs/prod"}
    azure = google | {"logs_url": "wasbs://logs@account.blob.core.windows.net/prod"}

    def store():
        remote.refresh_from_db()
        return config_for(remote).object_store

    given = browser.post(address, settings_of(remote, **google, logs_secret_key=GOOGLE_KEY))
    assert given.status_code == 302
    assert (store().is_google, store().secret_key) == (True, GOOGLE_KEY)
    # It stays as long as it is not removed, and goes to no other vendor.
    assert browser.post(address, settings_of(remote, **google)).status_code == 302
    assert store().secret_key == GOOGLE_KEY
    moved = browser.post(address, settings_of(remote, **azure))
    assert "Enter the key of this store" in moved.content.decode()
    without = settings_of(remote, **azure, forget_logs_secret_key="on")
    assert browser.post(address, without).status_code == 302
    assert (store().is_azure, store().secret_key) == (True, "")
    assert CANARY not in browser.get(address).content.decode()


def test_a_password_of_elasticsearch_goes_to_no_other_server_and_is_no_api_key(
    browser, remote
) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    elastic = {"logs_in": "object_store", "logs_url": "https://elastic.test:9200/logs"}
    elastic |= {"logs_access_key": "airflow"}

    given = browser.post(address, settings_of(remote, **elastic, logs_secret_key=CANARY))
    assert given.status_code == 302
    remote.refresh_from_db()
    store = config_for(remote).object_store
    assert (store.is_elasticsearch, store.access_key, store.secret_key) == (
        True,
        "airflow",
        CANARY,
    )
    assert CANARY not in browser.get(address).content.decode()
    # Another index of the server is none of those who wait for it.
    index = elastic | {"logs_url": "https://elastic.test:9200/other"}
    assert browser.post(address, settings_of(remote, **index)).status_code == 302
    for change in (
        {"logs_url": "https://evil.test:9200/logs"},
        {"logs_url": "https://elastic.test:9243/logs"},
        {"logs_url": "s3://logs"},
        {"logs_access_key": ""},
    ):
        moved = browser.post(address, settings_of(remote, **(elastic | change)))
        assert moved.status_code == 422
        assert "Enter the key of this store" in moved.content.decode()
    remote.refresh_from_db()
    assert config_for(remote).object_store.url == "https://elastic.test:9200/other"


def test_a_stored_password_is_not_sent_to_another_server(browser, remote) -> None:
    sealed.seal(remote, "database_password", CANARY)
    remote.database_host, remote.database_user = "db.example.org", "portal"
    remote.save()
    changes = {"database_host": "evil.example.org", "database_user": "portal"}

    page = browser.post(f"{LIST}{remote.pk}/settings/", settings_of(remote, **changes))

    assert page.status_code == 422
    assert "Enter the password of the new server." in page.content.decode()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"logs_size": "5 GB"}, "like 5Gi"),
        ({"logs_in": "object_store"}, "Enter the bucket"),
        ({"logs_url": "https://x"}, "Enter a bucket like"),
        ({"logs_url": "gs://logs/../other"}, "Enter a bucket like"),
        ({"logs_url": "wasbs://logs@evil.test/a"}, "Enter a bucket like"),
        ({"logs_url": "gs://logs", "logs_secret_key": "{}"}, "the whole JSON key"),
        (
            {
                "logs_url": "gs://logs",
                "logs_secret_key": '{"type": "external_account", "private_key": "x"}',
            },
            "the whole JSON key",
        ),
        ({"logs_url": "s3://logs", "logs_secret_key": "a\nb"}, "Enter the key alone"),
        (
            {"logs_url": "gs://logs", "logs_access_key": "A", "logs_secret_key": GOOGLE_KEY},
            "Only S3 and Elasticsearch have one",
        ),
        ({"logs_url": "https://elastic.test"}, "Enter a bucket like"),
        ({"logs_url": "http://elastic.test/logs"}, "Enter a bucket like"),
        ({"logs_url": "https://me:it@elastic.test/logs"}, "Enter a bucket like"),
        ({"logs_url": "https://elastic.test:99999/logs"}, "Enter a bucket like"),
        ({"logs_url": "https://elastic.test/Logs"}, "Enter a bucket like"),
        ({"logs_url": "https://elastic.test/_all"}, "Enter a bucket like"),
        ({"logs_url": "https://elastic.test/logs,other"}, "Enter a bucket like"),
        ({"logs_url": "https://elastic.test/..", "logs_secret_key": "x"}, "Enter a bucket like"),
        (
            {"logs_url": "https://elastic.test/logs", "logs_secret_key": "a password"},
            "Without a user this is an API key",
        ),
        (
            {
                "logs_url": "https://elastic.test/logs",
                "logs_access_key": "a:b",
                "logs_secret_key": "p",
            },
            "has no colon",
        ),
        ({"logs_endpoint": "ftp://x"}, "Enter an address like"),
        ({"logs_access_key": "A"}, "Enter the secret key"),
        ({"database_host": "a b"}, "Enter a host name"),
        ({"database_host": "db.test:5432"}, "without a port or scheme"),
        ({"database_host": "[::1]"}, "without a port or scheme"),
        ({"database_host": "fd00::5%eth0"}, "without a port or scheme"),
        ({"database_host": "db"}, "Enter the role"),
        ({"database_host": "fd00::5"}, "Enter the role"),
        ({"database_user": "a'b"}, "Enter the name of a PostgreSQL role"),
        ({"database_port": "99999"}, "less than or equal to 65535"),
        ({"database_sslmode": "verify-full"}, "Enter the CA certificate"),
        ({"database_sslmode": "none"}, "Select a valid choice"),
        ({"database_ca": "x" * 99}, "This is not a certificate."),
        ({"database_size": "5 GB"}, "like 5Gi"),
        ({"database_size": "0Gi"}, "like 5Gi"),
        ({"history_days": "-1"}, "greater than or equal to 0"),
        ({"history_days": "40000"}, "less than or equal to 3650"),
        ({"image_pull_secret": "[]"}, "not the JSON"),
        ({"registry_repository": "airflow"}, "Enter a repository like"),
        ({"registry_repository": "https://r.test/a"}, "Enter a repository like"),
        ({"registry_repository": "r.test/a:1"}, "Enter a repository like"),
        ({"registry_repository": "r.test/a", "registry_user": "u"}, "Enter the password of this"),
        ({"registry_repository": "r.test/a", "registry_password": "p"}, "Enter the user of this"),
        ({"registry_ca": "x" * 99}, "This is not a certificate."),
        ({"runtime_repository": "r.test/../a"}, "Enter a repository like"),
        ({"image_mirror": "docker-hub"}, "Enter a registry, with a path or none"),
        ({"image_mirror": "https://r.test/hub"}, "Enter a registry, with a path or none"),
        ({"image_mirror": "r.test/a/../b"}, "Enter a registry, with a path or none"),
        ({"package_index": "http://pypi.test/simple"}, "Enter an https address"),
        ({"package_index": "https://me:it@pypi.test/simple"}, "without a user"),
        ({"image_pull_secret": "[" * 100_000}, "not the JSON"),
        ({"storage_class": "other"}, "Select a valid choice"),
    ],
)
def test_bad_settings_get_a_sentence(browser, remote, changes, says) -> None:
    page = browser.post(f"{LIST}{remote.pk}/settings/", settings_of(remote, **changes))

    assert page.status_code == 422
    assert says in page.content.decode()


def test_data_is_not_moved_under_deployments(browser, remote, make_deployment) -> None:
    make_deployment(cluster=remote, name="etl-prod")

    page = browser.post(f"{LIST}{remote.pk}/settings/", settings_of(remote, logs_size="9Gi"))

    assert page.status_code == 422
    assert "runs etl-prod. While Deployments run here, the size" in page.content.decode()


def test_settings_that_change_what_runs_are_confirmed(browser, remote, make_deployment) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    make_deployment(cluster=remote, name="etl-prod")
    changes = settings_of(remote, image_pull_secret=json.dumps({"auths": {"r": {"auth": CANARY}}}))
    shown = browser.get(address).content.decode()
    assert "1 Deployment is applied again" in shown
    assert "etl-prod" in shown

    page = browser.post(address, changes)

    assert page.status_code == 422
    assert "Confirm that 1 Deployment is applied again." in page.content.decode()
    assert "Kept, encrypted" in page.content.decode()
    assert CANARY not in page.content.decode()
    remote.refresh_from_db()
    assert remote.settings_version == 1

    confirmed = {**changes, "image_pull_secret": "", "apply_again": "on"}
    page = browser.post(address, confirmed, follow=True)

    assert "Saved. 1 Deployment is applied again." in page.content.decode()
    remote.refresh_from_db()
    assert remote.settings_version == 2
    assert CANARY in str(sealed.opened(remote, "image_pull_secret"))


def test_how_long_runs_are_kept_reaches_what_runs(browser, remote, make_deployment) -> None:
    make_deployment(cluster=remote)
    wanted = settings_of(remote, history_days="0")
    assert "Confirm that" in browser.post(f"{LIST}{remote.pk}/settings/", wanted).content.decode()

    browser.post(f"{LIST}{remote.pk}/settings/", {**wanted, "apply_again": "on"})

    remote.refresh_from_db()
    assert config_for(remote).history_days == 0


def test_another_size_of_databases_is_for_new_deployments(browser, remote, make_deployment) -> None:
    make_deployment(cluster=remote)

    page = browser.post(f"{LIST}{remote.pk}/settings/", settings_of(remote, database_size="20Gi"))

    assert page.status_code == 302
    remote.refresh_from_db()
    assert (config_for(remote).database_size, remote.settings_version) == ("20Gi", 1)


def test_encryption_of_a_database_server_stays_with_it(browser, remote, make_deployment) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    server = {"database_host": "db.test", "database_user": "maker", "database_password": CANARY}
    tls = {"database_sslmode": "verify-full", "database_ca": certificate()}
    browser.post(address, settings_of(remote, **server, **tls))
    ends_at = NOW + timedelta(days=365 * 20)
    assert Cluster.objects.get(pk=remote.pk).database_ca_expires_at == ends_at
    assert (
        "CA of the database server expires" in browser.get(f"{LIST}{remote.pk}/").content.decode()
    )
    make_deployment(cluster=remote, database_server="db.test:5432")
    other = settings_of(remote, **server | {"database_host": "other.test"})

    assert browser.post(address, other).status_code == 302

    config = config_for(Cluster.objects.get(pk=remote.pk))
    (former,) = config.former_databases
    assert config.database
    assert config.database.sslmode == "prefer"
    assert Cluster.objects.get(pk=remote.pk).database_ca_expires_at is None
    assert (former.sslmode, former.ca_certificate.strip()) == ("verify-full", certificate().strip())


def test_a_mistake_elsewhere_in_the_settings_loses_no_secret(browser, remote) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    changes = {
        "logs_size": "5 GB",
        "database_host": "db.example.org",
        "database_user": "portal",
        "database_password": CANARY,
    }
    page = browser.post(address, settings_of(remote, **changes))
    assert CANARY not in page.content.decode()
    corrected = {**changes, "logs_size": "5Gi", "database_password": ""}

    refused = browser.post(address, settings_of(remote, **corrected, database_port="6432"))
    assert refused.status_code == 422
    assert browser.post(address, settings_of(remote, **changes)).status_code == 422
    saved = browser.post(address, settings_of(remote, **corrected))

    assert saved.status_code == 302
    remote.refresh_from_db()
    assert sealed.opened(remote, "database_password") == CANARY


def test_a_secret_of_abandoned_settings_is_not_saved_with_the_next_change(browser, remote) -> None:
    address = f"{LIST}{remote.pk}/settings/"
    secret = {"image_pull_secret": json.dumps({"auths": {"r": {"auth": CANARY}}})}
    browser.post(address, settings_of(remote, logs_size="5 GB", **secret))

    browser.get(address)
    browser.post(address, settings_of(remote, name="renamed"))

    remote.refresh_from_db()
    assert remote.name == "renamed"
    assert remote.image_pull_secret is None


def test_another_database_server_is_for_new_deployments(browser, remote, make_deployment) -> None:
    make_deployment(cluster=remote, name="etl-prod")
    address = f"{LIST}{remote.pk}/settings/"
    changes = {"database_host": "db.test", "database_user": "maker", "database_password": CANARY}
    assert "A changed server is used for new Deployments" in browser.get(address).content.decode()

    page = browser.post(address, settings_of(remote, **changes))

    assert page.status_code == 302
    remote.refresh_from_db()
    assert (remote.database_host, remote.settings_version) == ("db.test", 1)


DESTINATIONS = [
    {"database_host": "evil.test", "database_user": "maker", "database_password": "typed"},
    {"database_host": "", "database_port": "5432"},
    {"database_port": "7432", "database_password": "typed"},
    {"database_sslmode": "disable"},
    {"database_sslmode": "verify-ca", "database_ca": certificate("evil")},
    {"logs_endpoint": "https://evil.test"},
    {"logs_url": "s3://evil-bucket"},
    {"registry_repository": "evil.test/airflow"},
    {"registry_ca": certificate("evil")},
    {"runtime_repository": "evil.test/airflow"},
    {"package_index": "https://evil.test/simple"},
    {"image_mirror": "evil.test/hub"},
]


@pytest.mark.parametrize("change", DESTINATIONS)
def test_only_an_owner_says_where_data_of_deployments_goes(
    caretaker, browser, remote, change
) -> None:
    remote.database_host, remote.database_port, remote.database_user = "db.test", 6432, "maker"
    sealed.seal(remote, "database_password", CANARY)
    remote.save()
    address = f"{LIST}{remote.pk}/settings/"
    stored = {"database_host": "db.test", "database_port": "6432", "database_user": "maker"}
    wanted = settings_of(remote, **(stored | change))

    page = caretaker.post(address, wanted)

    assert page.status_code == 422
    assert "Only an owner" in page.content.decode()
    remote.refresh_from_db()
    assert (remote.database_server, remote.logs_url) == ("db.test:6432", "")
    assert remote.connection_version == 1
    assert sealed.opened(remote, "database_password") == CANARY
    assert "only an owner of the organization" in caretaker.get(address).content.decode()
    assert browser.post(address, wanted).status_code == 302


def test_who_manages_clusters_changes_what_sends_nothing_elsewhere(caretaker, remote) -> None:
    address = f"{LIST}{remote.pk}/settings/"

    page = caretaker.post(address, settings_of(remote, name="renamed", logs_size="9Gi"))

    assert page.status_code == 302
    remote.refresh_from_db()
    assert (remote.name, remote.logs_size) == ("renamed", "9Gi")


def test_an_owner_says_which_workspaces_may_use_a_cluster(browser, remote, workspace) -> None:
    address = f"{LIST}{remote.pk}/workspaces/"

    assert browser.post(address, {"reach": "chosen"}).status_code == 422
    assert browser.post(address, {"reach": "x"}).status_code == 422
    page = browser.post(address, {"reach": "chosen", "workspaces": [workspace.pk]})

    assert page.status_code == 302
    remote.refresh_from_db()
    assert not remote.is_for_all_workspaces
    assert list(remote.workspaces.all()) == [workspace]
    event = AuditEvent.objects.get(action="cluster.workspaces_chosen")
    assert event.changes == {"workspaces": ["all", "Warehouse"]}


def test_a_cluster_in_use_cannot_be_removed(browser, remote, make_deployment) -> None:
    make_deployment(cluster=remote, name="etl-prod")
    address = f"{LIST}{remote.pk}/remove/"

    page = browser.post(address, {"confirm": "eu-1"})

    assert page.status_code == 422
    assert "eu-1 runs etl-prod. Delete them first." in page.content.decode()
    assert "etl-prod" in browser.get(address).content.decode()


def test_who_manages_clusters_learns_no_names_of_deployments_that_they_may_not_see(
    caretaker, remote, make_deployment
) -> None:
    make_deployment(cluster=remote, name="etl-prod")
    address = f"{LIST}{remote.pk}/remove/"

    shown = caretaker.get(address).content.decode()
    refused = caretaker.post(address, {"confirm": "eu-1"}).content.decode()

    assert "etl-prod" not in shown + refused
    assert "0 of 1 are listed: the first of those that you may see." in shown
    assert "eu-1 runs 1 Deployment. Delete them first." in refused
    check_page(shown)


def test_a_removed_cluster_keeps_its_history_and_no_secret(
    browser, remote, make_deployment
) -> None:
    gone = make_deployment(cluster=remote, phase="deleted", deleted_at=NOW)
    address = f"{LIST}{remote.pk}/remove/"

    assert browser.post(address, {"confirm": "eu"}).status_code == 422
    page = browser.post(address, {"confirm": "eu-1"})

    assert page.status_code == 302
    remote.refresh_from_db()
    assert remote.credential is None
    assert remote.removed_at is not None
    assert type(gone).objects.filter(pk=gone.pk, cluster=remote).exists()
    assert browser.get(f"{LIST}{remote.pk}/").status_code == 404
    assert "eu-1" not in browser.get(LIST).content.decode()
    fields = {"name": "eu-1", "kubeconfig": kubeconfig()}
    assert browser.post(f"{LIST}register/", fields).status_code == 302


def test_a_new_cluster_asks_for_settings_before_the_first_deployment(
    browser, remote, make_deployment
) -> None:
    address = f"{LIST}{remote.pk}/"
    assert "which must allow ReadWriteMany" in " ".join(
        browser.get(address).content.decode().split()
    )

    make_deployment(cluster=remote)

    assert "Before the first Deployment" not in browser.get(address).content.decode()


def test_a_cluster_that_is_registered_twice_says_so(browser, remote) -> None:
    Cluster.objects.update(identity_seen="uid-1")

    page = browser.post(
        f"{LIST}register/", {"name": "again", "kubeconfig": kubeconfig()}, follow=True
    )

    assert "This cluster is registered twice" in page.content.decode()
    assert "eu-1" in page.content.decode()


def test_an_empty_list_says_what_a_cluster_is(browser, organization) -> None:
    assert "No cluster yet" in browser.get(LIST).content.decode()


def test_this_machine_can_be_looked_at_and_shared(browser, cluster) -> None:
    for path in pages_of(cluster)[:1] + pages_of(cluster)[2:3]:
        assert browser.get(path).status_code == 200
    for page in ("settings", "credential", "remove"):
        assert browser.get(f"{LIST}{cluster.pk}/{page}/").status_code == 404
    assert browser.post(f"{LIST}{cluster.pk}/check/").status_code == 302


def test_an_unreachable_cluster_says_since_when(browser, remote) -> None:
    since = timezone.now() - timedelta(minutes=20)
    Cluster.objects.update(unreachable_since=since, last_error="Nobody listens there.")

    for path in (LIST, f"{LIST}{remote.pk}/"):
        page = browser.get(path).content.decode()
        assert "Unreachable" in page
        assert "20 min ago" in page
        assert "Nobody listens there." in page


def test_a_credential_that_ends_soon_is_said_in_time(browser, remote) -> None:
    Cluster.objects.update(credential_expires_at=timezone.now() + timedelta(days=3))
    assert "The credential expires on" in browser.get(LIST).content.decode()

    Cluster.objects.update(credential_expires_at=timezone.now() - timedelta(days=3))
    assert "Credential expired" in browser.get(LIST).content.decode()


def test_a_ca_that_ends_soon_is_said_in_time(browser, remote) -> None:
    own = f"{LIST}{remote.pk}/"
    assert "CA certificate expires" not in browser.get(own).content.decode()

    for days, says in ((3, "The CA certificate expires on"), (-3, "CA certificate expired")):
        Cluster.objects.update(ca_expires_at=timezone.now() + timedelta(days=days))
        for path in (LIST, own):
            assert says in browser.get(path).content.decode()

    assert "Replace the CA certificate." in browser.get(LIST).content.decode()


def test_the_next_test_of_a_cluster_learns_when_its_ca_ends(browser, remote) -> None:
    assert remote.ca_expires_at is None, "as of one that was registered before this was kept"

    browser.post(f"{LIST}{remote.pk}/check/")

    remote.refresh_from_db()
    assert remote.ca_expires_at == NOW + timedelta(days=365 * 20)
    assert "CA certificate expires" in browser.get(f"{LIST}{remote.pk}/").content.decode()


def test_the_end_of_a_ca_is_filled_in_for_clusters_that_are_there(remote, cluster) -> None:
    """Tests are run by people: a cluster may see none before its CA ends."""
    Cluster.objects.filter(pk=remote.pk).update(registry_ca=certificate("old", days=10))
    import_module("apps.clusters.migrations.0015_ca_expires_at").fill(apps, None)
    import_module("apps.clusters.migrations.0016_other_cas_expire").fill(apps, None)

    remote.refresh_from_db()
    cluster.refresh_from_db()
    assert remote.ca_expires_at == NOW + timedelta(days=365 * 20)
    assert remote.registry_ca_expires_at == NOW + timedelta(days=10)
    assert remote.database_ca_expires_at is None
    assert cluster.ca_expires_at is None


def test_a_new_ca_beside_the_old_one_ends_the_warning(browser, remote) -> None:
    old, new = certificate("old", days=10), certificate("new", days=900)
    Cluster.objects.update(ca_certificate=old, ca_expires_at=NOW + timedelta(days=10))
    both = kubeconfig(cluster={"certificate-authority-data": b64(old + new)})

    page = browser.post(f"{LIST}{remote.pk}/credential/", {"kubeconfig": both})

    assert page.status_code == 302
    remote.refresh_from_db()
    assert remote.ca_expires_at == NOW + timedelta(days=900)


def test_what_ends_first_is_said(remote) -> None:
    now = timezone.now()
    remote.credential_expires_at = now + timedelta(days=3)
    remote.ca_expires_at = now + timedelta(days=2)
    assert state_of(remote, now=now).message.startswith("The CA certificate expires on")

    remote.credential_expires_at = now - timedelta(days=1)
    assert state_of(remote, now=now).word == "Credential expired"


def test_a_ca_of_the_settings_that_ended_needs_care_and_puts_no_cluster_out_of_reach(
    browser, remote
) -> None:
    Cluster.objects.update(registry_ca_expires_at=timezone.now() - timedelta(days=1))

    shown = browser.get(LIST).content.decode()

    assert "CA certificate of the registry expired" in shown
    assert "Enter its successor in the settings." in shown
    assert "Out of reach" not in shown


def test_members_look_and_change_nothing(bob, alice, remote, client_of, make_deployment) -> None:
    make_deployment(cluster=remote, name="etl-prod")
    client = client_of(bob)

    for path in (LIST, f"{LIST}{remote.pk}/", f"{LIST}{remote.pk}/workspaces/"):
        page = client.get(path)
        assert page.status_code == 200
        assert "Organization Owner" in page.content.decode()
    for path in pages_of(remote)[1:] + [f"{LIST}{remote.pk}/check/", f"{LIST}register/"]:
        assert client.post(path, {}).status_code == 403, path
    assert client.get(f"{LIST}role.yaml")["Content-Type"] == "application/yaml"


def test_outsiders_find_nothing(charlie, remote, client_of) -> None:
    client = client_of(charlie)

    for path in [LIST, f"{LIST}register/", f"{LIST}role.yaml", *pages_of(remote)]:
        assert client.get(path).status_code == 404
    assert client.post(f"{LIST}{remote.pk}/check/").status_code == 404
    # Nor through their own organization.
    assert client.get(f"/o/elsewhere/clusters/{remote.pk}/").status_code == 404


def test_a_form_with_a_secret_asks_first_who_is_there(browser, remote) -> None:
    session = browser.session
    session["signed_in_at"] = time.time() - 3600
    session["seen_at"] = time.time()
    session.save()

    for page in ("credential", "settings"):
        answer = browser.get(f"{LIST}{remote.pk}/{page}/")
        assert answer.status_code == 302
        assert "/reauthenticate/" in answer["Location"]
    answer = browser.post(f"{LIST}{remote.pk}/credential/", {"kubeconfig": kubeconfig()})
    assert answer.status_code == 422
    assert "Confirm who you are" in answer.content.decode()
    assert CANARY not in json.dumps(dict(browser.session.items()))
    remote.refresh_from_db()
    assert remote.connection_version == 1


def test_pages_ask_the_database_little(
    browser, organization, remote, django_assert_max_num_queries
) -> None:
    for number in range(20):
        copy = Cluster.objects.get(pk=remote.pk)
        copy.pk, copy.name, copy.portal_id = None, f"c-{number}", f"id-{number}"
        copy.save(force_insert=True)
    browser.get(LIST)

    with django_assert_max_num_queries(12):
        browser.get(LIST)


def test_the_manifest_is_for_the_namespaces_that_are_named(browser, remote) -> None:
    asked = browser.get(f"{LIST}role.yaml", {"namespaces": "team-a, team-b"}).content.decode()
    Cluster.objects.update(namespaces="team-c")
    stored = browser.get(f"{LIST}role.yaml", {"cluster": remote.pk}).content.decode()

    assert "namespace: team-a" in asked
    assert "namespace: team-b" in asked
    assert "name: astro-portal-reader" in asked
    assert "namespace: team-c" in stored
    assert browser.get(f"{LIST}role.yaml", {"namespaces": "kube-system"}).status_code == 400


@pytest.mark.parametrize("kind", ["kubernetes", "local"])
def test_the_state_that_filters_a_fleet_is_the_one_that_is_shown(
    kind: str, organization, remote
) -> None:
    """Every combination of what a state is made of."""
    now = timezone.now()
    fields = {
        "unreachable_since": (None, now),
        "credential_expires_at": (
            None,
            now - timedelta(days=1),
            now + timedelta(days=3),
            now + timedelta(days=90),
        ),
        "ca_expires_at": (
            None,
            now - timedelta(days=2),
            now + timedelta(days=2),
            now + timedelta(days=90),
        ),
        "registry_ca_expires_at": (None, now - timedelta(days=2), now + timedelta(days=2)),
        "checked_at": (None, now),
        "check_result": ({}, {"is_usable": True}, {"is_usable": False}),
    }
    for values in itertools.product(*fields.values()):
        Cluster.objects.filter(pk=remote.pk).update(
            kind=kind, **dict(zip(fields, values, strict=True))
        )
        found = with_tone(clusters_of(organization=organization), now=now).get(pk=remote.pk)

        assert found.tone == state_of(found, now=now).tone, values


def test_a_fleet_is_narrowed_by_name_address_and_state(
    browser, organization, remote, django_assert_max_num_queries
) -> None:
    Cluster.objects.filter(pk=remote.pk).update(unreachable_since=timezone.now())
    for number in range(60):
        well = {"unreachable_since": None, "check_result": {"is_usable": True}}
        named = {"pk": None, "name": f"prod-{number:02}", "portal_id": f"p{number}"}
        values = Cluster.objects.filter(pk=remote.pk).values().get() | well | named
        Cluster.objects.create(**{name: value for name, value in values.items() if name != "id"})

    with django_assert_max_num_queries(16):
        page = browser.get(LIST)
    away = browser.get(f"{LIST}?state=bad")
    named = browser.get(f"{LIST}?q=PROD-07&state=strange")
    nothing = browser.get(f"{LIST}?q=prod&state=bad")

    check_page(page.content.decode())
    counts = {one["label"]: one["count"] for one in page.context["tally"]}
    assert counts["Out of reach"] == 1
    assert counts["All"] == counts["Ready"] + 1
    assert [cluster.name for cluster, _ in away.context["rows"]] == ["eu-1"]
    assert [cluster.name for cluster, _ in named.context["rows"]] == ["prod-07"]
    assert "No such cluster" in nothing.content.decode()
    check_page(nothing.content.decode())
