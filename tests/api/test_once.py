"""Calls that are sent again, calls that come between, and who the audit log says called."""

from typing import Any

import pytest
from django.core.cache import cache

from apps.api.wire.idempotency import BUSY
from apps.audit.models import AuditEvent
from apps.core.public_ids import public_id
from apps.organizations.models import ApiToken, Workspace


def post(program: Any, path: str, body: Any, **headers: str) -> Any:
    given = {"Idempotency-Key": "one"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return program.client.post(
        program.root + path, body, content_type="application/json", headers=given
    )


def test_a_call_that_is_sent_again_creates_nothing_twice(alice, program_of):
    program = program_of(alice)

    first = post(program, "/workspaces", {"name": "Data"})
    second = post(program, "/workspaces", {"name": "Data"})

    assert [first.status_code, second.status_code] == [200, 200]
    assert second.json() == first.json()
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert Workspace.objects.filter(name="Data").count() == 1


def test_a_key_stands_for_one_call_of_one_caller(alice, program_of, token_program, organization):
    program = program_of(alice)
    post(program, "/workspaces", {"name": "Data"})

    another_body = post(program, "/workspaces", {"name": "Other"})
    another_path = post(program, "/teams", {"name": "Data"})
    another_caller = post(token_program(organization, "owner"), "/workspaces", {"name": "Theirs"})

    assert another_body.status_code == 409
    assert "another body" in another_body.json()["message"]
    assert [another_path.status_code, another_caller.status_code] == [200, 200]


def test_what_failed_may_be_sent_again_and_what_goes_on_may_not(alice, program_of):
    program = program_of(alice)
    assert post(program, "/workspaces", {"name": " "}).status_code == 400
    assert post(program, "/workspaces", {"name": "Data"}).status_code == 200
    (key,) = cache.keys("api:once:*")
    content, *_ = cache.get(key)
    cache.set(key, (content, BUSY, ""))

    going_on = post(program, "/workspaces", {"name": "Data"})

    assert going_on.status_code == 409
    assert "not finished" in going_on.json()["message"]
    assert post(program, "/workspaces", {"name": "X"}, Idempotency_Key="k" * 256).status_code == 400


def test_a_secret_is_told_once_and_kept_nowhere(alice, organization, program_of):
    program = program_of(alice)
    body = {"name": "CI", "role": "ORGANIZATION_MEMBER", "scope": "ORGANIZATION"}

    first = post(program, "/tokens", body)
    second = post(program, "/tokens", body)

    assert [first.status_code, second.status_code] == [200, 409]
    assert "done already" in second.json()["message"]
    assert ApiToken.objects.filter(name="CI").count() == 1
    (key,) = cache.keys("api:once:*")
    assert first.json()["token"] not in str(cache.get(key))


def test_a_change_is_refused_where_another_came_between(alice, deployment, program_of):
    program = program_of(alice)
    path = f"{program.root}/deployments/{public_id('deployment', deployment.pk)}"
    read = program.client.get(path)
    body = {"name": deployment.name, "description": "first"}

    def change(tag: str, description: str) -> Any:
        return program.client.post(
            path,
            {**body, "description": description},
            content_type="application/json",
            headers={"If-Match": tag},
        )

    first = change(read["ETag"], "first")
    late = change(read["ETag"], "second")
    again = change(program.client.get(path)["ETag"], "second")

    assert [first.status_code, late.status_code, again.status_code] == [200, 409, 200]
    assert "Read it again" in late.json()["message"]
    assert change("*", "third").status_code == 200


@pytest.mark.parametrize(
    ("headers", "program"),
    [
        (
            {"X-Astro-Client-Identifier": "cli", "X-Astro-Client-Version": "1.45.0"},
            "astro-cli/1.45.0",
        ),
        ({"X-Astro-Client-Identifier": "terraform-provider-astro"}, "terraform-provider-astro"),
        ({"User-Agent": "curl/8.1 libcurl"}, "curl/8.1"),
        ({"User-Agent": "é" + "x" * 900}, "x" * 60),
    ],
)
def test_the_audit_log_names_person_token_and_program(alice, program_of, headers, program):
    post(program_of(alice, name="laptop"), "/workspaces", {"name": "Data"}, **headers)

    event = AuditEvent.objects.get(action="workspace.created")
    assert event.actor == alice
    assert event.actor_label == f"alice@example.org by personal token laptop, {program}"


def test_a_page_names_the_person_alone(alice, client_of):
    client_of(alice).post("/o/nordhavn/workspaces/new/", {"name": "Data", "description": ""})

    assert AuditEvent.objects.get(action="workspace.created").actor_label == alice.email


@pytest.mark.parametrize("scope", ["organization", "workspace", "deployment"])
def test_one_query_tells_who_calls(
    alice, organization, workspace, deployment, token_program, scope, django_assert_num_queries
):
    places = {"organization": organization, "workspace": workspace, "deployment": deployment}
    key = {"organization": "owner", "workspace": "member", "deployment": "viewer"}[scope]
    program = token_program(places[scope], key)
    program.get("/v1/users/self")

    with django_assert_num_queries(1):
        assert program.get("/v1/users/self").status_code == 200


def test_one_query_tells_which_person_calls_and_two_read_a_deployment(
    bob, deployment, program_of, token_program, django_assert_num_queries
):
    program = program_of(bob)
    path = f"/deployments/{public_id('deployment', deployment.pk)}"
    program.get(path)

    with django_assert_num_queries(1):
        assert program.get("/v1/users/self").status_code == 200
    with django_assert_num_queries(2):
        assert program.get(path).status_code == 200
    by_token = token_program(deployment, "viewer")
    by_token.get(path)
    with django_assert_num_queries(2):
        assert by_token.get(path).status_code == 200


def test_a_list_takes_as_many_queries_however_long(
    alice, make_deployment, program_of, django_assert_num_queries
):
    program = program_of(alice)
    make_deployment()
    program.get("/deployments")

    for _ in range(3):
        make_deployment()
        # Who calls, the Deployments, their workspaces, their clusters.
        with django_assert_num_queries(4):
            program.get("/deployments", limit=1000)
