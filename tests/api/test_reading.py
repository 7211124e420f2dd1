"""What clients read: shapes without nulls where they would fail, pages, ids, refusals."""

import re

import pytest

from apps.api.wire import gates
from apps.core.public_ids import number_of, public_id
from apps.deployments.models import Revision
from tests.conftest import CONFIG

CUID = re.compile(r"c[a-z0-9]{24}")


def id_of(kind, row) -> str:
    return public_id(kind, row.pk)


def test_an_id_names_a_row_of_one_kind_alone():
    text = public_id("workspace", 12)

    assert CUID.fullmatch(text)
    assert number_of("workspace", text) == 12
    assert number_of("deployment", text) == 0
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert [number_of("workspace", one) for one in ("", "12", other, text.upper())] == [0] * 4


def test_the_first_call_of_a_client_finds_its_organization(alice, organization, program_of):
    body = program_of(alice).get("/v1/organizations", limit=100, offset=0).json()

    assert (body["totalCount"], body["offset"], body["limit"]) == (1, 0, 100)
    (found,) = body["organizations"]
    assert found["id"] == id_of("organization", organization)
    assert (found["name"], found["product"]) == ("Nordhavn Logistics", "HOSTED")
    assert found["productPlans"] == []


def test_a_token_of_a_workspace_finds_its_organization_and_its_workspace(
    organization, workspace, deployment, token_program
):
    program = token_program(workspace, "member")

    assert program.get("").json()["name"] == organization.name
    assert program.get("/workspaces").json()["totalCount"] == 1
    assert program.get("/v1/users/self").json()["username"] == "CI"


def test_a_deployment_has_all_that_clients_follow_without_asking(alice, deployment, program_of):
    program = program_of(alice)

    answer = program.get(f"/deployments/{id_of('deployment', deployment)}")

    body = answer.json()
    assert answer["Cache-Control"] == "no-store"
    needed = (
        "type workspaceName executor schedulerSize defaultTaskPodCpu defaultTaskPodMemory "
        "resourceQuotaCpu resourceQuotaMemory clusterName organizationId "
        "isHighAvailability isDevelopmentMode environmentVariables workerQueues runtimeVersion"
    )
    assert [one for one in needed.split() if body.get(one) is None] == []
    assert (body["status"], body["namespace"]) == ("HEALTHY", deployment.ref)
    assert body["clusterId"] == id_of("cluster", deployment.cluster)
    (queue,) = body["workerQueues"]
    assert (queue["name"], queue["isDefault"], queue["astroMachine"]) == ("default", True, "A5")
    assert body["environmentVariables"] == []
    assert CUID.fullmatch(queue["id"])


def test_no_secret_is_among_the_variables(alice, make_deployment, program_of):
    variables = [
        {"key": "OPEN", "value": "seen", "secret_id": ""},
        {"key": "CLOSED", "value": "", "secret_id": "7c1b6c2e-0000-4000-8000-000000000000"},
    ]
    deployment = make_deployment(config={**CONFIG, "variables": variables})

    body = program_of(alice).get(f"/deployments/{id_of('deployment', deployment)}").json()

    found = {one["key"]: (one["value"], one["isSecret"]) for one in body["environmentVariables"]}
    assert found == {"OPEN": ("seen", False), "CLOSED": ("", True)}
    assert "7c1b6c2e" not in str(body)


def test_lists_have_pages_filters_and_an_order(alice, workspace, make_deployment, program_of):
    made = [make_deployment(name=f"etl-{letter}") for letter in "bca"]
    program = program_of(alice)

    def names(**asked):
        return [one["name"] for one in program.get("/deployments", **asked).json()["deployments"]]

    assert names() == ["etl-a", "etl-b", "etl-c"]
    assert names(sorts="name:desc", limit=2) == ["etl-c", "etl-b"]
    assert names(offset=2) == ["etl-c"]
    assert program.get("/deployments", limit=2).json()["totalCount"] == 3
    assert program.get("/deployments", offset=9).json() == {
        "deployments": [],
        "totalCount": 3,
        "offset": 9,
        "limit": 100,
    }
    assert names(deploymentIds=[id_of("deployment", one) for one in made[:2]]) == ["etl-b", "etl-c"]
    assert names(names="etl-a") == ["etl-a"]
    assert names(workspaceIds=id_of("workspace", workspace)) == ["etl-a", "etl-b", "etl-c"]
    assert names(workspaceIds="nonsense") == []


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"sorts": "password"}, {"limit": "x"}]
)
def test_a_bad_page_is_refused_in_the_shape_of_errors(alice, program_of, asked):
    answer = program_of(alice).get("/deployments", **asked)

    body = answer.json()
    assert answer.status_code == body["statusCode"] == 400
    assert body["requestId"] == answer["X-Request-ID"]
    assert body["fieldErrors"][0]["field"] in asked


def test_what_belongs_to_others_is_not_there(charlie, alice, deployment, workspace, program_of):
    elsewhere = charlie.organizationgrant_set.get().content_object
    stranger = program_of(charlie, at=elsewhere)

    paths = ("", "/workspaces", "/deployments", f"/deployments/{id_of('deployment', deployment)}")
    answers = [stranger.get(path) for path in paths]

    assert [one.status_code for one in answers] == [404] * 4
    assert all("Nordhavn" not in one.content.decode() for one in answers)
    inside = program_of(alice)
    assert inside.get("/deployments/nonsense").status_code == 404
    assert inside.get(f"/workspaces/{id_of('deployment', deployment)}").status_code == 404


def test_an_address_of_another_organization_reaches_no_own_object(charlie, deployment, program_of):
    """The organization of the address and the object must belong together."""
    elsewhere = charlie.organizationgrant_set.get().content_object
    stranger = program_of(charlie, at=elsewhere)
    root = f"/v1/organizations/{id_of('organization', elsewhere)}"

    path = f"{root}/deployments/{id_of('deployment', deployment)}"

    assert stranger.get(root).status_code == 200
    assert stranger.get(path).status_code == 404


def test_unknown_addresses_and_methods_are_refused_as_json(alice, program_of):
    program = program_of(alice)

    answers = [program.get("/v1/nothing/here"), program.delete(""), program.client.put("/v1/x")]

    assert [one.status_code for one in answers] == [404, 405, 404]
    for one in answers:
        assert one["Content-Type"] == "application/json"
        assert one.json()["statusCode"] == one.status_code
        assert one.json()["message"]
    assert "GET" in answers[1]["Allow"]


def test_options_are_those_of_the_form(alice, cluster, program_of):
    body = program_of(alice).get("/deployment-options", deploymentType="STANDARD").json()

    assert body["executors"] == ["CELERY", "LOCAL"]
    assert body["resourceQuotas"]["defaultPodSize"]["cpu"]["default"]
    assert [one["name"] for one in body["workerMachines"]] == ["A5"]
    assert body["workerQueues"]["maxWorkers"]["ceiling"] == 10
    assert body["runtimeReleases"][0]["version"]
    (regions,) = program_of(alice, name="two").get("/cluster-options", provider="AWS").json()
    assert regions["regions"] == [{"name": "local"}]


def test_a_cluster_is_shown_to_those_who_may_use_it(
    alice, workspace, cluster, program_of, token_program
):
    path = f"/clusters/{id_of('cluster', cluster)}"

    assert program_of(alice).get(path).json()["name"] == "This machine"
    in_workspace = token_program(workspace, "accessor")
    assert in_workspace.get("/clusters").json()["totalCount"] == 1
    cluster.is_for_all_workspaces = False
    cluster.save(update_fields=["is_for_all_workspaces"])
    assert in_workspace.get(path).status_code == 404
    cluster.workspaces.add(workspace)
    assert in_workspace.get(path).status_code == 200


def test_a_cluster_of_a_cloud_tells_its_provider_and_region(alice, deployment, cluster, program_of):
    cluster.cloud = {"cloud": "google", "region": "europe-west1"}
    cluster.save(update_fields=["cloud"])
    program = program_of(alice)

    for kind, of in (("cluster", cluster), ("deployment", deployment)):
        shown = program.get(f"/{kind}s/{id_of(kind, of)}").json()
        assert (shown["cloudProvider"], shown["region"]) == ("GCP", "europe-west1")


def test_reading_one_deployment_costs_four_queries(
    deployment, workspace, token_program, django_assert_max_num_queries
):
    program, path = token_program(workspace, "member"), id_of("deployment", deployment)
    program.get(f"/deployments/{path}")

    with django_assert_max_num_queries(4):
        assert program.get(f"/deployments/{path}").status_code == 200


def test_a_list_costs_as_many_queries_however_long_it_is(
    organization, make_deployment, token_program, django_assert_max_num_queries
):
    program = token_program(organization, "owner")
    program.get("/deployments")
    for _ in range(5):
        make_deployment()

    with django_assert_max_num_queries(6):
        assert program.get("/deployments", limit=1000).json()["totalCount"] == 5
    with django_assert_max_num_queries(6):
        assert program.get("/deployments", limit=2).json()["totalCount"] == 5


@pytest.mark.parametrize("runs", ["the same", "an older revision", "nothing"])
def test_a_list_tells_of_a_deployment_what_reading_it_tells(
    alice, make_deployment, program_of, runs
):
    deployment = make_deployment()
    if runs == "an older revision":
        deployment.wanted = Revision.objects.create(
            deployment=deployment,
            number=7,
            config=deployment.applied.config,
            summary="x",
            code_digest="b" * 64,
            created_by=alice,
        )
    if runs == "nothing":
        deployment.applied = None
    Revision.objects.filter(pk=deployment.applied_id).update(code_digest="a" * 64)
    said = {"import_errors": 2, "warnings": ["Tasks wait."], "ui_url": "https://af.example/x"}
    deployment.observation, deployment.health = deployment.observation | said, "healthy"
    deployment.save(update_fields=["wanted", "applied", "observation", "health"])
    program = program_of(alice)

    read = program.get(f"/deployments/{id_of('deployment', deployment)}").json()

    assert program.get("/deployments").json()["deployments"] == [read]
    assert read.get("dagTarballVersion") == (None if runs == "nothing" else "a" * 24)


def test_what_a_client_has_already_is_not_sent_again(alice, deployment, program_of):
    program = program_of(alice)
    path = f"/deployments/{id_of('deployment', deployment)}"
    etag = program.get(path)["ETag"]

    def again():
        return program.client.get(program.root + path, headers={"If-None-Match": etag})

    assert (again().status_code, again().content) == (304, b"")
    deployment.name = "renamed"
    deployment.save(update_fields=["name"])
    assert again().status_code == 200


def test_a_token_that_calls_too_often_waits_and_others_do_not(
    alice, bob, program_of, settings, monkeypatch
):
    settings.API_CALLS_PER_MINUTE = 3
    monkeypatch.setattr(gates, "now", lambda: 90.0)
    busy, other = program_of(alice), program_of(bob)

    answers = [busy.get("/v1/users/self") for _ in range(4)]

    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    assert answers[-1]["Retry-After"] == "30"
    assert other.get("/v1/users/self").status_code == 200


@pytest.mark.parametrize("prefix", ["/platform/v1beta1", "/iam/v1beta1", "/labs/v1"])
def test_other_clients_find_the_same_below_their_own_prefix(
    alice, organization, deployment, program_of, client, prefix
):
    program = program_of(alice)
    root = program.root.replace("/v1", prefix, 1)

    listed = program.client.get(f"{root}/deployments")
    missing = program.client.get(f"{root}/deployments/nothing")
    body = {"name": "TF", "role": "ORGANIZATION_MEMBER", "type": "ORGANIZATION"}
    token = program.client.post(f"{root}/tokens", body, content_type="application/json")

    assert listed.json() == program.get("/deployments").json()
    assert (missing.status_code, missing.json()["statusCode"]) == (404, 404)
    assert token.json()["type"] == "ORGANIZATION"
    assert client.get(f"{root}/deployments").status_code == 401
