"""Connections and variables by programs, in the shapes of the CLI and of Terraform."""

from apps.core.public_ids import public_id
from apps.environment.delivery.effective import values_of
from apps.environment.objects.models import EnvironmentObject
from apps.organizations.models import Organization
from tests.environment.examples import make_object

PATH = "/environment-objects"


def body(workspace, **fields):
    return {
        "objectKey": "warehouse",
        "objectType": "CONNECTION",
        "scope": "WORKSPACE",
        "scopeEntityId": public_id("workspace", workspace.pk),
        **fields,
    }


def test_a_program_creates_reads_changes_and_deletes_and_never_sees_a_secret(
    workspace, make_deployment, alice, program_of
):
    prod, dev = make_deployment(), make_deployment()
    program = program_of(alice)
    connection = {"type": "postgres", "host": "a", "password": "hunter2", "extra": {"token": "t"}}
    over = {"connectionOverrides": {"host": "b", "password": "hunter3"}}
    links = [{"scope": "DEPLOYMENT", "scopeEntityId": public_id("deployment", dev.pk), **over}]

    made = program.post(PATH, body(workspace, connection=connection, links=links))
    one = f"{PATH}/{made.json()['id']}"
    read = program.get(one).json()
    changed = program.post(one, {"connection": {"type": "postgres", "host": "c"}})

    assert made.status_code == 200, made.content
    assert read["connection"] == {"type": "postgres", "host": "a"}
    assert read["setFields"] == ["extra.token", "host", "password", "type"]
    assert read["links"][0]["setFields"] == ["host", "password"]
    assert read["autoLinkDeployments"] is False
    assert changed.json()["connection"]["host"] == "c"
    assert '"b"' in values_of(dev).document
    assert "hunter3" in values_of(dev).document
    assert values_of(prod).document == ""
    for response in (made, program.get(one), changed, program.get(PATH, showSecrets="true")):
        assert b"hunter" not in response.content
    assert program.delete(one).status_code == 204
    assert program.get(one).status_code == 404
    assert not EnvironmentObject.objects.exists()


def test_lists_are_of_a_workspace_or_of_what_reaches_a_deployment(
    workspace, make_deployment, alice, bob, charlie, program_of
):
    prod, dev = make_deployment(), make_deployment()
    make_object(workspace, alice)
    make_object(workspace, alice, "variable", "batch", links_all=False, linked=frozenset({dev.pk}))
    own = make_object(dev, alice, name="own")
    program = program_of(bob)

    def keys(**query):
        found = program.get(PATH, **query).json()["environmentObjects"]
        return [one["objectKey"] for one in found]

    here = public_id("workspace", workspace.pk)
    assert keys(workspaceId=here) == ["batch", "warehouse"]
    assert keys(workspaceId=here, objectType="CONNECTION") == ["warehouse"]
    assert keys(deploymentId=public_id("deployment", dev.pk)) == ["own", "warehouse", "batch"]
    assert keys(deploymentId=public_id("deployment", prod.pk)) == ["warehouse"]
    only_own = {"deploymentId": public_id("deployment", dev.pk), "resolveLinked": "false"}
    assert keys(**only_own) == ["own"]
    assert keys() == ["batch", "own", "warehouse"]
    one = f"{PATH}/{public_id('environment_object', own.pk)}"
    assert program.get(one).status_code == 200
    assert program.post(one, {}).status_code == 403
    assert program.delete(one).status_code == 403
    elsewhere = Organization.objects.get(slug="elsewhere")
    assert program_of(charlie, at=elsewhere).get(one).status_code == 404


def test_a_secret_variable_stays_where_a_client_sends_back_what_it_read(
    workspace, deployment, alice, program_of
):
    program = program_of(alice)
    variable = {"value": "hunter2", "isSecret": True}
    fields = {"objectType": "AIRFLOW_VARIABLE", "airflowVariable": variable}
    made = program.post(PATH, body(workspace, **fields, autoLinkDeployments=True))
    one = f"{PATH}/{made.json()['id']}"

    read = program.get(one).json()
    program.post(one, {"airflowVariable": read["airflowVariable"], "description": "kept"})

    assert read["airflowVariable"] == {"value": "", "isSecret": True}
    assert "hunter2" in values_of(deployment).document
    excluded = {"scope": "DEPLOYMENT", "scopeEntityId": public_id("deployment", deployment.pk)}
    assert program.post(f"{one}/exclude-linking", excluded).status_code == 204
    assert values_of(deployment).document == ""
    assert program.get(one).json()["excludeLinks"] == [excluded]


def test_what_is_not_offered_is_said(workspace, alice, program_of):
    answer = program_of(alice).post(PATH, body(workspace, objectType="METRICS_EXPORT"))

    assert answer.status_code == 400
    assert "remote write" in answer.json()["message"]


def test_a_program_imports_a_file_and_exports_what_is_no_secret(program_of, alice, bob, workspace):
    program, scope = (
        program_of(alice),
        {"scope": "WORKSPACE", "scopeEntityId": public_id("workspace", workspace.pk)},
    )
    body = {**scope, "text": '{"a": "hush-hush", "c": {"conn_type": "http"}, "b d": {"uri": "x"}}'}

    seen = program.post("/environment-object-imports", {**body, "isDryRun": True}).json()
    done = program.post("/environment-object-imports", {**body, "objectKeys": ["a"]})
    text = program.post("/environment-object-exports", scope).json()["text"]

    assert [one["change"] for one in seen["objects"]] == ["NEW", "NEW", "REFUSED"]
    assert (seen["imported"], done.json()["imported"]) == (0, 1)
    assert "hush-hush" not in done.content.decode() + text
    assert "variable_name: a" in text
    bad = program.post("/environment-object-imports", {**scope, "text": "a: *b"})
    assert (bad.status_code, "YAML" in bad.json()["message"]) == (400, True)
    reader = program_of(bob)
    assert reader.post("/environment-object-imports", body).status_code == 403
    assert reader.post("/environment-object-exports", scope).status_code == 200


def test_programs_keep_backends_and_never_read_a_secret(workspace, alice, bob, program_of):
    program, address = program_of(alice), "https://vault.example.org:8200"
    options = {"url": address, "token": "s.canary", "kv_engine_version": "2"}
    backend = {"type": "vault", "options": options}
    wanted = body(workspace, objectType="SECRETS_BACKEND", secretsBackend=backend)

    made = program.post(PATH, wanted)
    one = f"{PATH}/{made.json()['id']}"
    read = program.get(one)
    changed = program.post(one, {"secretsBackend": {"type": "vault", "options": {"url": address}}})

    assert made.status_code == 200, made.content
    assert read.json()["secretsBackend"]["options"] == {"url": address, "kv_engine_version": "2"}
    assert read.json()["setFields"] == [
        "extra.kv_engine_version",
        "extra.token",
        "extra.url",
        "type",
    ]
    assert b"canary" not in read.content + changed.content
    assert "extra.token" in changed.json()["setFields"]
    assert program.get(PATH, objectType="SECRETS_BACKEND").json()["totalCount"] == 1
    assert program_of(bob).post(PATH, wanted).status_code == 403


def test_a_program_tries_a_connection_where_it_may_deploy(
    workspace, deployment, alice, bob, program_of
):
    make_object(workspace, alice)
    program = program_of(alice)
    path = f"/deployments/{public_id('deployment', deployment.pk)}/connection-tests"

    unknown = program.post(path, {"objectKey": "other"})
    early = program.post(path, {"objectKey": "warehouse"})

    assert unknown.status_code == 400, unknown.content
    assert "No connection “other” reaches" in unknown.json()["message"]
    assert early.status_code == 409, early.content
    assert program_of(bob).post(path, {"objectKey": "warehouse"}).status_code == 403
