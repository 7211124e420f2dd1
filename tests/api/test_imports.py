"""Airflows from elsewhere and buckets, by programs: the services that pages use."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.airflow_imports.models import AirflowImport
from apps.airflow_imports.work.reading import read_import
from apps.clusters.models import Cluster
from apps.core.public_ids import public_id
from apps.deployments.models import Deployment
from tests.backups.conftest import folder
from tests.backups.examples import make_backup
from tests.clusters.material import registered

__all__ = ["folder"]
KEY = "7T512UXSSmBOkpWimFHIVb8jK6lfmSAvx4mO6Arehnc="
SERVER = {"host": "db.example.org", "database": "airflow", "user": "reader", "password": "pw-pw"}


def read(found: Any) -> None:
    read_import(import_id=found.json()["id"], now=timezone.now())


def test_a_program_brings_an_airflow_and_makes_a_deployment(
    alice, bob, program_of, workspace, cluster, plane
):
    path = f"/workspaces/{public_id('workspace', workspace.pk)}/imports"
    program, looking = program_of(alice), program_of(bob)

    asked = program.post(path, {**SERVER, "fernetKey": KEY})

    assert asked.status_code == 200, asked.content
    assert "pw-pw" not in asked.content.decode()
    assert KEY not in asked.content.decode()
    assert looking.post(path, SERVER).status_code == 403
    assert looking.get(path).status_code == 403
    assert program.post(path, {**SERVER, "host": "a/b"}).status_code == 400
    assert program.post(path, {**SERVER, "fernetKey": "x"}).status_code == 400
    one = f"{path}/{asked.json()['id']}"
    new = {"name": "shop", "runtimeVersion": "3.3.2-1"}
    assert program.post(f"{one}/deployment", new).status_code == 409, "it was not read yet"
    read(asked)
    shown = program.get(one).json()
    assert (shown["status"], shown["airflowVersions"]) == ("READY", "2.10.3 to 2.11")
    assert program.get(path).json()["imports"] == [shown]
    assert looking.post(f"{one}/deployment", new).status_code == 403

    made = program.post(f"{one}/deployment", new).json()

    deployment = Deployment.objects.get(name="shop")
    assert made["deploymentId"] == public_id("deployment", deployment.pk)
    assert program.post(f"{one}/unpause", {}).status_code == 409, "it does not run yet"
    assert program.delete(one).status_code == 409, "the Deployment needs it"
    Deployment.objects.update(phase="deleted")
    assert program.delete(one).status_code == 204
    assert program.get(one).status_code == 404


def test_a_program_chooses_the_cluster_of_the_deployment(
    alice, program_of, workspace, organization, cluster, plane
):
    path = f"/workspaces/{public_id('workspace', workspace.pk)}/imports"
    program, away = program_of(alice), registered(organization)
    asked = program.post(path, {**SERVER, "fernetKey": KEY})
    read(asked)
    one = f"{path}/{asked.json()['id']}/deployment"
    new = {"name": "shop", "runtimeVersion": "3.3.2-1", "executor": "KUBERNETES"}
    at_cluster = {**new, "clusterId": public_id("cluster", away.pk)}

    refused = program.post(one, at_cluster)
    assert "add one in Settings, Buckets" in refused.content.decode()
    Cluster.objects.filter(pk=away.pk).update(is_for_all_workspaces=False)
    hidden = program.post(one, at_cluster)
    assert (hidden.status_code, hidden.json()["message"]) == (
        400,
        "This workspace cannot use that cluster.",
    )
    assert program.post(one, {**new, "clusterId": "x"}).status_code == 400
    Cluster.objects.filter(pk=away.pk).update(is_for_all_workspaces=True)
    bucket = {"endpoint": "https://s3.example.org", "bucket": "lake"}
    bucket |= {"accessKeyId": "AKIA1", "secretAccessKey": "s3cr3t"}
    assert program.post("/buckets/backups", bucket).status_code == 200

    made = program.post(one, at_cluster)

    assert made.status_code == 200, made.content
    assert Deployment.objects.get(name="shop").cluster == away


def test_a_new_deployment_from_a_backup(alice, bob, program_of, deployment, folder):
    at = f"/deployments/{public_id('deployment', deployment.pk)}"
    program, looking = program_of(alice), program_of(bob)

    one = f"{at}/backups/{make_backup(alice, deployment).pk}/new-deployment"
    assert looking.post(one, {"name": "copy"}).status_code == 403
    made = program.post(one, {"name": "copy"})
    assert made.status_code == 200, made.content
    assert Deployment.objects.filter(name="copy").exists()


def test_a_bucket_is_set_and_its_secret_not_told(alice, bob, program_of, organization):
    program, looking = program_of(alice), program_of(bob)
    body = {
        "endpoint": "https://s3.example.org",
        "bucket": "lake",
        "accessKeyId": "AKIA1",
        "secretAccessKey": "s3cr3t",
    }

    saved = program.post("/buckets/backups", body)

    assert saved.status_code == 200, saved.content
    assert "s3cr3t" not in saved.content.decode()
    assert program.get("/buckets").json()["buckets"] == [saved.json()]
    assert program.post("/buckets/other", body).status_code in (400, 404)
    assert program.post("/buckets/backups", {**body, "bucket": "A"}).status_code == 400
    for call in (looking.get, looking.delete):
        assert call("/buckets" if call == looking.get else "/buckets/backups").status_code == 403
    assert program.delete("/buckets/backups").status_code == 204
    assert program.delete("/buckets/backups").status_code == 404


def test_a_program_uploads_a_dump(
    alice, bob, program_of, workspace, cluster, plane, settings, folder
):
    settings.CODE_ARCHIVE_MAX_BYTES = 10
    program = program_of(alice)
    path = f"{program.root}/workspaces/{public_id('workspace', workspace.pk)}/imports/dump"

    def send(by: Any, content: bytes) -> Any:
        dump = SimpleUploadedFile("airflow.dump", content)
        return by.client.post(path, {"dump": dump, "fernetKey": KEY})

    sent = send(program, b"PGDMP" * 100)

    assert sent.status_code == 200, sent.content
    row = AirflowImport.objects.get(pk=sent.json()["id"])
    assert row.upload.read_bytes() == b"PGDMP" * 100
    assert row.upload.stat().st_mode & 0o777 == 0o600
    assert row.name == "airflow.dump"
    settings.UPLOAD_MAX_BYTES = {}
    assert send(program, b"PGDMP" * 100).status_code == 400, "it is larger than the limit"
    assert send(program_of(bob), b"PGDMP").status_code == 403


def test_a_dump_that_is_sent_again_is_one_import(
    alice, program_of, workspace, cluster, plane, folder
):
    program = program_of(alice)
    path = f"{program.root}/workspaces/{public_id('workspace', workspace.pk)}/imports/dump"

    def send(content: bytes) -> Any:
        form = {"dump": SimpleUploadedFile("airflow.dump", content), "fernetKey": KEY}
        return program.client.post(path, form, headers={"Idempotency-Key": "one"})

    first, again, another = send(b"PGDMP" * 10), send(b"PGDMP" * 10), send(b"PGDMP" * 11)

    assert (first.status_code, again.json()) == (200, first.json()), first.content
    assert another.status_code == 409
    assert AirflowImport.objects.count() == 1
