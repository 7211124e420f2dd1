"""Clusters, custom roles and the receiver of measurements by programs."""

import pytest

from apps.access.models import Role
from apps.clusters.models import Cluster
from apps.core.public_ids import public_id
from apps.dataplane.fake.plane import FakePlane
from apps.observability.remote_write.models import Receiver
from tests.clusters.material import CANARY, SERVER, certificate, kubeconfig, registered
from tests.clusters.test_pages import GOOD, LACKING


@pytest.fixture
def program(alice, plane, program_of):
    plane.store.found = GOOD
    return program_of(alice)


BY_TOKEN = {"server": SERVER, "caCertificate": certificate(), "token": CANARY}


@pytest.mark.parametrize("access", [{"kubeconfig": kubeconfig()}, BY_TOKEN])
def test_a_program_registers_a_cluster_and_reads_its_health(program, organization, access):
    FakePlane.store.found = LACKING

    made = program.post("/clusters", {"name": "eu-1", **access})

    assert made.status_code == 200, made.content
    path = f"/clusters/{made.json()['id']}"
    health = program.get(f"{path}/health").json()
    assert (health["isUsable"], health["missingPermissions"]) == (False, ["secrets: create"])
    assert health["caExpiresAt"].startswith("2046-")
    FakePlane.store.found = GOOD
    assert program.post(f"{path}/test").json()["isUsable"]
    settings = program.get(f"{path}/settings")
    assert settings.json()["logsSize"] == "5Gi"
    shown = b"".join(one.content for one in (made, settings, program.get(path)))
    assert CANARY.encode() not in shown
    assert program.delete(path).status_code == 204
    assert program.get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Send a kubeconfig"),
        ({"kubeconfig": "x"}, "kubeconfig: "),
        ({"server": "http://x", "token": "x", "caCertificate": "x"}, "caCertificate: "),
        (
            {"server": "https://127.0.0.1", "token": CANARY, "caCertificate": certificate()},
            "server",
        ),
    ],
)
def test_a_bad_way_to_a_cluster_is_refused_at_its_field(program, body, said):
    answer = program.post("/clusters", {"name": "eu-1", **body})

    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert not Cluster.objects.filter(kind="kubernetes").exists()


def test_settings_change_alone_and_secrets_stay(program, organization):
    cluster = registered(organization)
    path = f"/clusters/{public_id('cluster', cluster.pk)}/settings"
    before = program.get(path).json()

    changed = program.post(path, {"historyDays": 30})
    with_database = program.post(
        path,
        {"databaseHost": "db.example.org", "databaseUser": "airflow", "databasePassword": "x1"},
    )
    wrong = program.post(path, {"logsSize": "much"})

    assert changed.json() == {**before, "historyDays": 30}
    assert with_database.status_code == 200, with_database.content
    assert "databasePassword" not in with_database.json()
    assert program.post(path, {"historyDays": 31}).json()["databaseHost"] == "db.example.org"
    cluster.refresh_from_db()
    assert cluster.database_password is not None
    # A stored password is not sent to a server of someone's own.
    moved = program.post(path, {"databaseHost": "mine.example.org"})
    assert moved.json()["fieldErrors"][0]["field"] == "databasePassword"
    assert (wrong.status_code, wrong.json()["fieldErrors"][0]["field"]) == (400, "logsSize")


def test_a_cluster_is_renamed_and_kept_for_some_workspaces(
    program, bob, organization, workspace, program_of
):
    cluster = registered(organization)
    path, one = (
        f"/clusters/{public_id('cluster', cluster.pk)}",
        public_id("workspace", workspace.pk),
    )

    limited = program.post(path, {"name": "eu-2", "workspaceIds": [one]}).json()

    assert (limited["name"], limited["isLimited"], limited["workspaceIds"]) == ("eu-2", True, [one])
    assert program.post(path, {"workspaceIds": ["cnone"]}).status_code == 400
    assert program.post(path, {"isLimited": True, "workspaceIds": []}).status_code == 400
    assert not program.post(path, {"isLimited": False}).json()["isLimited"]
    assert program_of(bob).post(path, {"name": "mine"}).status_code == 403
    machine = Cluster.objects.create(organization=organization, kind="local", name="M")
    here = f"/clusters/{public_id('cluster', machine.pk)}"
    assert program.delete(here).status_code == 400


def test_custom_roles_are_kept_by_a_program(program, bob, organization, workspace, program_of):
    one = public_id("workspace", workspace.pk)
    body = {
        "name": "Deployer",
        "scopeType": "DEPLOYMENT",
        "permissions": ["deployment.view", "deployment.deploys.view", "deployment.deploys.create"],
        "restrictedWorkspaceIds": [one],
    }

    made = program.post("/roles", body)

    assert made.status_code == 200, made.content
    path = f"/roles/{made.json()['id']}"
    assert set(made.json()["permissions"]) == set(body["permissions"])
    assert made.json()["restrictedWorkspaceIds"] == [one]
    wider = {**body, "restrictedWorkspaceIds": None, "name": "Pusher"}
    assert program.post(path, wider).json()["restrictedWorkspaceIds"] == []
    for wrong in (
        {"scopeType": "DAG"},
        {"scopeType": "PLANET"},
        {"permissions": ["deployment.deploys.create"]},
        {"permissions": ["organization.update"]},
        {"name": "pusher"},
        {"restrictedWorkspaceIds": ["cnone"]},
    ):
        assert program.post("/roles", {**body, **wrong}).status_code == 400, wrong
    assert program_of(bob).post("/roles", body).status_code == 403
    assert program.delete(f"{path}?insteadRole=NOTHING").status_code == 400
    assert program.delete(path).status_code == 204
    assert not Role.objects.filter(organization=organization).exists()
    names = [one["name"] for one in program.get("/role-templates", scopeTypes="DEPLOYMENT").json()]
    assert "DEPLOYMENT_ADMIN" in names
    groups = program.get("/v1/authorization/permission-groups", scopeType="DEPLOYMENT").json()
    assert "deployment.view" in str(groups)


def test_measurements_are_sent_on_and_the_secret_is_not_told(program, organization):
    url = "https://prometheus.example.org/api/v1/write?key=hush"
    assert program.get("/remote-write").status_code == 404

    made = program.post("/remote-write", {"url": url, "secret": "hush"})

    assert made.status_code == 200, made.content
    assert b"hush" not in made.content + program.get("/remote-write").content
    assert program.post("/remote-write", {"url": "http://x"}).status_code == 400
    assert program.delete("/remote-write").status_code == 204
    assert not Receiver.objects.exists()
