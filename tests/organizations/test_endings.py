"""Roles that have ended are taken away by a job, which tells the audit log once."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.access.grants.services import grant, lock_memberships, revoke
from apps.access.grants.team_grants import grant_to_team
from apps.audit.models import AuditEvent
from apps.deployments.models import DeploymentGrant
from apps.organizations.members import expiry as endings
from apps.organizations.members.services import assign_role
from apps.organizations.models import OrganizationGrant, WorkspaceGrant, WorkspaceTeamGrant
from apps.organizations.roles.services import create_role, delete_role
from apps.organizations.tasks import sweep_roles
from apps.organizations.teams.services import add_to_team, create_team
from apps.organizations.tokens.services import create_token
from tests.conftest import make_user, role

HOUR = timedelta(hours=1)


def ended_events() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action="role.ended").order_by("pk"))


def end(grants: Any) -> None:
    grants.update(expires_at=timezone.now() - HOUR)


def test_the_end_of_a_role_is_written_down_once_by_the_portal_itself(alice, bob, workspace):
    end(WorkspaceGrant.objects.filter(user=bob))
    ended_at = WorkspaceGrant.objects.get(user=bob).expires_at

    sweep_roles(newer="argument")
    sweep_roles()

    (event,) = ended_events()
    assert (event.actor, event.actor_label) == (None, "Astro Portal")
    assert (event.target_kind, event.target_label) == ("workspace", "Warehouse")
    until = f"Workspace Member until {ended_at:%Y-%m-%d %H:%M} UTC"
    assert event.changes == {"role of bob@example.org": [until, None]}
    assert not WorkspaceGrant.objects.filter(user=bob).exists()
    assert OrganizationGrant.objects.filter(user=bob).exists()


def test_what_goes_on_is_left_alone(alice, bob, workspace):
    WorkspaceGrant.objects.filter(user=bob).update(expires_at=timezone.now() + HOUR)

    assert endings.expire_roles() == 0

    assert WorkspaceGrant.objects.filter(user=bob).exists()
    assert ended_events() == []


def test_roles_of_every_scope_of_people_and_teams_end(alice, bob, deployment):
    workspace = deployment.workspace
    team = create_team(actor=alice, organization=workspace.organization, name="Nights")
    grant(actor=alice, user=bob, role=role("deployment", "viewer"), on=deployment)
    grant_to_team(actor=alice, team=team, role=role("workspace", "member"), on=workspace)
    for model in (OrganizationGrant, WorkspaceGrant, DeploymentGrant):
        end(model.objects.filter(user=bob))
    end(WorkspaceTeamGrant.objects)

    assert endings.expire_roles() == 4

    ended = {(event.target_kind, *event.changes) for event in ended_events()}
    of_bob = "role of bob@example.org"
    assert ended == {
        ("organization", of_bob),
        ("workspace", of_bob),
        ("deployment", of_bob),
        ("workspace", "role of the Team Nights"),
    }


def test_who_is_in_the_organization_no_more_is_signed_out_and_in_no_team(
    alice, bob, workspace, client_of
):
    organization = workspace.organization
    team = create_team(actor=alice, organization=organization, name="Nights")
    add_to_team(actor=alice, team=team, user=bob)
    client = client_of(bob)
    assert client.get("/account/").status_code == 200
    end(OrganizationGrant.objects.filter(user=bob))

    endings.expire_roles()

    assert client.get("/account/").status_code == 302
    assert not team.group.user_set.exists()


def test_who_lost_roles_by_their_end_gets_one_mail_about_all(
    alice, bob, workspace, mailoutbox, django_capture_on_commit_callbacks
):
    for model in (OrganizationGrant, WorkspaceGrant):
        end(model.objects.filter(user=bob))

    with django_capture_on_commit_callbacks(execute=True):
        endings.expire_roles()

    (mail,) = mailoutbox
    assert mail.to == ["bob@example.org"]
    assert "Your role Workspace Member on Warehouse expired on " in mail.body
    assert "Your role Organization Member on Nordhavn Logistics expired on " in mail.body
    assert "ask an owner of Nordhavn Logistics" in mail.body


def test_no_mail_goes_to_teams_tokens_and_closed_accounts(
    alice, bob, workspace, mailoutbox, django_capture_on_commit_callbacks
):
    team = create_team(actor=alice, organization=workspace.organization, name="Nights")
    grant_to_team(actor=alice, team=team, role=role("workspace", "member"), on=workspace)
    create_token(
        actor=alice, on=workspace, name="CI", role=role("workspace", "member"), expires_at=None
    )
    bob.is_active = False
    bob.save(update_fields=["is_active"])
    end(WorkspaceGrant.objects)
    end(WorkspaceTeamGrant.objects)

    with django_capture_on_commit_callbacks(execute=True):
        assert endings.expire_roles() == 3

    assert mailoutbox == []


def test_the_end_of_a_role_on_a_workspace_signs_nobody_out(alice, bob, workspace, client_of):
    client = client_of(bob)
    assert client.get("/account/").status_code == 200
    end(WorkspaceGrant.objects.filter(user=bob))

    endings.expire_roles()

    assert client.get("/account/").status_code == 200
    assert client.get("/w/warehouse/members/").status_code == 404


@pytest.mark.parametrize("how", ["given again", "taken"])
def test_an_ended_role_that_somebody_changes_before_the_job_comes_is_told_of_too(
    alice, bob, workspace, how
):
    end(WorkspaceGrant.objects.filter(user=bob))

    if how == "given again":
        assign_role(actor=alice, user=bob, role=role("workspace", "author"), on=workspace)
    else:
        revoke(actor=alice, user=bob, on=workspace)

    assert len(ended_events()) == 1
    assert not AuditEvent.objects.filter(action="role.revoked").exists()
    assert endings.expire_roles() == 0


def test_the_ends_of_a_custom_role_are_told_before_it_is_deleted(alice, bob, workspace):
    custom = create_role(
        actor=alice,
        organization=workspace.organization,
        scope="workspace",
        name="Watcher",
        description="",
        permissions=[],
        is_limited=False,
        workspaces=[],
    )
    grant(actor=alice, user=bob, role=custom, on=workspace)
    end(WorkspaceGrant.objects.filter(user=bob))

    delete_role(actor=alice, role=custom)

    (event,) = ended_events()
    assert event.changes["role of bob@example.org"][0].startswith("Watcher until")


def at_once(*calls: Callable[[], object]) -> None:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        try:
            start.wait(5)
            call()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.django_db(transaction=True)
def test_two_workers_end_each_role_once(alice, workspace, monkeypatch):
    monkeypatch.setattr("apps.access.grants.expiry.BATCH", 5)
    for number in range(20):
        person = make_user(f"Guest{number}")
        grant(actor=alice, user=person, role=role("workspace", "member"), on=workspace)
    end(WorkspaceGrant.objects)

    at_once(*[endings.expire_roles] * 2)
    endings.expire_roles()

    told = [name for event in ended_events() for name in event.changes]
    assert len(told) == len(set(told)) == 20


@pytest.mark.django_db(transaction=True)
def test_the_job_does_not_wait_for_somebody_who_changes_roles(alice, bob, workspace):
    end(WorkspaceGrant.objects.filter(user=bob))
    ended: list[int] = []

    def sweep() -> None:
        ended.append(endings.expire_roles())
        connection.close()

    with transaction.atomic():
        lock_memberships(on=workspace)
        thread = threading.Thread(target=sweep)
        thread.start()
        thread.join(10)
        assert ended == [0]

    assert endings.expire_roles() == 1
