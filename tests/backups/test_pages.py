"""The pages of backups: Alice may, Bob may only look, Charlie finds nothing."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.backups.models import Backup, BackupSchedule
from apps.deployments.models import Deployment, Phase
from tests.backups.examples import make_backup, with_secrets
from tests.conftest import custom_role, put_role

pytestmark = pytest.mark.django_db


def url(name: str, deployment: Deployment, *more: object) -> str:
    return reverse(f"backups:{name}", args=[deployment.ref, *more])


def test_a_person_backs_up_and_sees_it(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    client = client_of(alice)
    with_secrets(deployment)
    assert b"No backups yet" in client.get(url("list", deployment)).content

    answer = client.post(url("list", deployment), {"keep_days": "7"}, follow=True)

    assert b"The backup has begun." in answer.content
    assert b"Waiting" in answer.content
    assert b'data-hx-trigger="every 2s"' in answer.content
    assert Backup.objects.get().keep_days == 7
    assert client.post(url("list", deployment), {"keep_days": "8"}).status_code == 422


def test_others_look_or_find_nothing(
    alice: User,
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
    deployment: Deployment,
) -> None:
    backup = make_backup(alice, deployment)
    detail = url("detail", deployment, backup.pk)

    page = client_of(bob).get(detail)

    assert page.status_code == 200
    assert b"Restore" not in page.content
    assert b"Remove backup" not in page.content
    assert client_of(bob).post(url("list", deployment)).status_code == 403
    assert client_of(bob).post(url("restore", deployment, backup.pk)).status_code == 403
    assert client_of(charlie).get(detail).status_code == 404
    assert client_of(alice).get(url("detail", deployment, UUID(int=7))).status_code == 404


def test_a_backup_of_another_deployment_is_not_found(
    alice: User, client_of: Callable[[User], Client], make_deployment: Callable[..., Deployment]
) -> None:
    mine, other = make_deployment(), make_deployment()
    backup = make_backup(alice, other)

    for name in ("restore", "restore_new", "remove"):
        assert client_of(alice).post(url(name, mine, backup.pk)).status_code == 404
    assert client_of(alice).get(url("detail", mine, backup.pk)).status_code == 404


def test_restoring_asks_for_the_name_and_leads_to_the_operation(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    backup, client = make_backup(alice, deployment), client_of(alice)
    page = client.get(url("detail", deployment, backup.pk))
    assert b"Everything that Airflow&#x27;s database learned since" in page.content

    wrong = client.post(url("restore", deployment, backup.pk), {"confirm": "x"})
    right = client.post(url("restore", deployment, backup.pk), {"confirm": deployment.name})

    assert (wrong.status_code, right.status_code) == (422, 302)
    assert b"Type etl-prod to restore the backup." in wrong.content
    assert right["Location"] == reverse("deployments:operation", args=[deployment.ref, 1])


def test_a_new_deployment_needs_the_permission_to_create_one(
    alice: User,
    bob: User,
    client_of: Callable[[User], Client],
    deployment: Deployment,
    organization: object,
) -> None:
    backup = make_backup(alice, deployment)
    permissions = frozenset({"deployment.view", "deployment.update"})
    editor = custom_role(
        "Editor",
        permissions,
        organization=organization,  # type: ignore[arg-type]
        actor=alice,
        scope="deployment",
    )
    put_role(bob, editor, deployment)
    address, body = url("restore_new", deployment, backup.pk), {"name": "copy"}

    assert client_of(bob).post(address, body).status_code == 403
    assert client_of(alice).post(address, {"name": "etl-prod"}).status_code == 422
    assert client_of(alice).post(address, body | {"runtime": "3.2.2-1"}).status_code == 422
    page = client_of(alice).get(url("detail", deployment, backup.pk)).content.decode()
    assert '<option value="3.3.2-1" selected>' in page
    assert "3.3.1-1" not in page
    assert client_of(alice).post(address, body).status_code == 302
    assert Deployment.objects.filter(name="copy").exists()


def test_a_schedule_is_saved_shown_changed_and_removed(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    client, body = (
        client_of(alice),
        {"weekday": "6", "at": "03:30", "time_zone": "Europe/Oslo", "keep_days": "90"},
    )
    bad = client.post(url("schedule", deployment), body | {"time_zone": "../../etc/passwd"})

    good = client.post(url("schedule", deployment), body, follow=True)

    assert bad.status_code == 422
    assert b"Every Sunday at 03:30, Europe/Oslo, kept for 90 days" in good.content
    assert b'value="03:30"' in client.get(url("schedule", deployment)).content
    client.post(url("schedule", deployment), body | {"weekday": "", "keep_days": "1"})
    assert BackupSchedule.objects.get().weekday is None
    client.post(url("remove_schedule", deployment))
    assert not BackupSchedule.objects.exists()


def test_a_deployment_is_deleted_after_a_backup(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    client = client_of(alice)
    deletion = client.get(reverse("deployments:delete", args=[deployment.ref]))
    assert url("then_delete", deployment).encode() in deletion.content

    wrong = client.post(url("then_delete", deployment), {"confirm": "x"})
    right = client.post(url("then_delete", deployment), {"confirm": deployment.name})

    assert (wrong.status_code, right.status_code) == (422, 302)
    assert Backup.objects.get().then_deletes


def test_the_backups_of_a_deleted_deployment_become_a_new_one(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    backup, client = make_backup(alice, deployment), client_of(alice)
    Deployment.objects.filter(pk=deployment.pk).update(phase=Phase.DELETED, airflow_secrets=None)

    page = client.get(url("detail", deployment, backup.pk))

    assert client.get(url("list", deployment)).status_code == 200
    assert b"Restore here" not in page.content
    assert b"Create Deployment" in page.content
    made = client.post(url("restore_new", deployment, backup.pk), {"name": "reborn"})
    assert made.status_code == 302
    assert client.post(url("remove", deployment, backup.pk)).status_code == 302


def test_the_list_takes_the_same_queries_for_any_number(
    alice: User, client_of: Callable[[User], Client], deployment: Deployment
) -> None:
    client = client_of(alice)

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(url("list", deployment)).status_code == 200
        return len(queries)

    make_backup(alice, deployment)
    count()
    first = count()
    Backup.objects.bulk_create(
        Backup(deployment=deployment, reason="manual", state="failed", created_by=alice)
        for _ in range(120)
    )

    assert count() == first
    assert b"121 backups" in client.get(url("list", deployment)).content
