"""Bad days of programs that deploy and change: what they read, and that nothing is half done."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.public_ids import public_id
from apps.deployments.models import Deployment, Phase, Revision
from apps.deploys.models import Deploy
from apps.organizations.models import ApiToken
from apps.organizations.tokens import signed
from apps.organizations.tokens.services import revoke_token
from tests.api.test_deploys import announce, put, tarball
from tests.conftest import CONFIG


def test_of_two_uploads_for_one_deploy_the_one_that_is_named_must_be_the_last(
    alice, deployment, client, program_of
):
    program = program_of(alice)
    path, answer = announce(program, deployment)
    url, finish = answer.json()["dagsUploadUrl"], f"{path}/{answer.json()['id']}/finalize"
    first = put(client, url, tarball())
    second = put(client, url, tarball(**{"dags__other.py": b"import os\n"}))

    stale = program.post(finish, {"dagTarballVersion": first["x-ms-version-id"]})

    assert first["x-ms-version-id"] != second["x-ms-version-id"]
    assert (stale.status_code, stale.json()["statusCode"]) == (409, 409)
    assert "Another version was uploaded" in stale.json()["message"]
    assert not Deploy.objects.exists()


def test_half_an_upload_is_refused_and_the_whole_one_may_follow(
    alice, deployment, client, program_of
):
    program = program_of(alice)
    path, answer = announce(program, deployment)
    url, finish = answer.json()["dagsUploadUrl"], f"{path}/{answer.json()['id']}/finalize"

    put(client, url, tarball()[:40])
    half = program.post(finish)
    version = put(client, url, tarball())["x-ms-version-id"]
    whole = program.post(finish, {"dagTarballVersion": version})

    assert half.status_code == 400
    assert "no gzipped tar archive" in half.json()["message"]
    assert whole.status_code == 200, whole.content
    assert Deploy.objects.count() == 1


def test_a_token_that_is_revoked_in_the_middle_of_a_deploy_deploys_nothing(
    alice, deployment, client, token_program
):
    program = token_program(deployment, "admin")
    path, answer = announce(program, deployment)
    put(client, answer.json()["dagsUploadUrl"], tarball())
    revoke_token(actor=alice, token=ApiToken.objects.get(), on=deployment)

    late = program.post(f"{path}/{answer.json()['id']}/finalize")

    assert (late.status_code, late["WWW-Authenticate"]) == (401, 'Bearer realm="astro-portal"')
    assert late.json()["message"]
    assert not Deploy.objects.exists()


def test_a_thousand_come_in_one_page_and_a_page_that_is_gone_is_empty(
    alice, deployment, program_of, django_assert_max_num_queries
):
    names = [f"etl-{number:03}" for number in range(999)]
    common = {"workspace": deployment.workspace, "cluster": deployment.cluster}
    made = Deployment.objects.bulk_create(
        Deployment(ref=f"{name}-x", name=name, **common) for name in names
    )
    config = deployment.wanted.config
    revisions = Revision.objects.bulk_create(
        Revision(deployment=one, number=1, config=config, summary="x") for one in made
    )
    for one, revision in zip(made, revisions, strict=True):
        one.wanted = one.applied = revision
    Deployment.objects.bulk_update(made, ["wanted", "applied"])
    program = program_of(alice)
    program.get("/deployments", limit=1)

    with django_assert_max_num_queries(6):
        page = program.get("/deployments", limit=1000).json()
    Deployment.objects.filter(pk__in=[one.pk for one in made]).update(phase=Phase.DELETED)
    gone = program.get("/deployments", limit=500, offset=500).json()

    assert [one["name"] for one in page["deployments"]] == [*names, deployment.name]
    assert page["totalCount"] == 1000
    assert (gone["deployments"], gone["totalCount"], gone["offset"]) == ([], 1, 500)


@pytest.mark.parametrize("hours", [-20, 20])
def test_a_token_of_a_portal_whose_clock_was_wrong_works_when_it_is_right(
    alice, deployment, program_of, monkeypatch, hours
):
    """What a JWT says of times is for clients; the rows decide."""
    was = timezone.now() + timedelta(hours=hours)
    with monkeypatch.context() as wrong:
        wrong.setattr(signed.timezone, "now", lambda: was)
        program = program_of(alice)

    assert program.get("/deployments").status_code == 200


def test_a_client_from_before_the_newest_fields_keeps_what_it_does_not_know(
    alice, make_deployment, program_of
):
    """It sends back what it read, less what was added since."""
    deployment = make_deployment(config={**CONFIG, "corrects_drift": False})
    before = deployment.wanted.configuration
    program = program_of(alice)
    path = f"/deployments/{public_id('deployment', deployment.pk)}"
    read = program.get(path).json()
    added = ("correctsDrift", "statusReason", "image", "apiUrl", "uiUrl", "namespace")

    answer = program.post(path, {name: read[name] for name in read if name not in added})
    newer = program.post(path, {**read, "fromTheFuture": {"a": [1]}})

    assert (answer.status_code, newer.status_code) == (200, 200)
    assert Deployment.objects.get().wanted.configuration == before


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[1]", b"\xff\xfe", b'{"name": 1e999}', b"{" * 5000, b'"\\ud800"']
)
def test_json_that_is_none_is_refused_in_the_shape_of_errors(alice, deployment, program_of, body):
    program = program_of(alice)
    path = f"{program.root}/deployments/{public_id('deployment', deployment.pk)}"

    answer = program.client.generic("POST", path, body, "application/json")

    assert answer.status_code == answer.json()["statusCode"] == 400
    assert answer.json()["message"]
    assert answer.json()["requestId"] == answer["X-Request-ID"]
