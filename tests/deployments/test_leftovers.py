from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.utils import timezone

from apps.accounts.models import User
from apps.deployments.cleanup import clean_up
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.editing.drafts import confirm_draft, save_draft, store_secret
from apps.deployments.models import Deployment, Draft, SecretValue
from apps.deployments.tasks import sweep_drafts
from apps.organizations.models import Workspace
from tests.deployments.conftest import CONFIGURATION

DAYS_2, DAYS_29, DAYS_31 = (timedelta(days=days) for days in (2, 29, 31))


@pytest.fixture
def secret(alice: User, workspace: Workspace) -> SecretValue:
    return store_secret(workspace=workspace, value="hunter2", actor=alice)


def draft_of(deployment: Deployment, actor: User, secret: SecretValue) -> Draft:
    return save_draft(
        actor=actor,
        workspace=deployment.workspace,
        cluster=deployment.cluster,
        configuration=holding(secret),
        deployment=deployment,
        base=deployment.wanted,
    )


def holding(secret: SecretValue) -> Configuration:
    return replace(CONFIGURATION, variables=(Variable(key="TOKEN", secret_id=str(secret.pk)),))


def test_a_draft_is_kept_for_thirty_days_with_its_secret(
    running: Deployment, alice: User, secret: SecretValue
) -> None:
    draft_of(running, alice, secret)

    assert clean_up(now=timezone.now() + DAYS_29) == (0, 0)
    assert clean_up(now=timezone.now() + DAYS_31) == (1, 1)
    assert not Draft.objects.exists()
    assert not SecretValue.objects.exists()


def test_a_draft_that_was_touched_stays(
    running: Deployment, alice: User, secret: SecretValue
) -> None:
    draft_of(running, alice, secret)
    Draft.objects.update(created_at=timezone.now() - DAYS_31)

    assert clean_up(now=timezone.now() + DAYS_2) == (0, 0)


def test_a_draft_that_names_no_real_secret_does_no_harm(
    running: Deployment, alice: User, secret: SecretValue
) -> None:
    draft_of(running, alice, SecretValue(pk="x"))

    assert clean_up(now=timezone.now() + DAYS_2) == (0, 1)


def test_a_secret_that_nothing_holds_goes_after_a_day(db: Any, secret: SecretValue) -> None:
    assert clean_up(now=timezone.now() + timedelta(hours=23)) == (0, 0)
    assert clean_up(now=timezone.now() + DAYS_2) == (0, 1)


def test_a_secret_that_a_revision_holds_stays_for_ever(
    running: Deployment, alice: User, secret: SecretValue
) -> None:
    confirm_draft(actor=alice, draft=draft_of(running, alice, secret))

    assert clean_up(now=timezone.now() + timedelta(days=400)) == (1, 0)
    assert SecretValue.objects.get().deployment == running


def test_every_job_on_the_timetable_exists(settings: Any) -> None:
    current_app.loader.import_default_modules()

    timetable = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert timetable >= {
        "apps.deployments.tasks.sweep_drafts",
        "apps.deploys.tasks.sweep_archives",
    }
    assert timetable <= set(current_app.tasks)


def test_the_jobs_do_the_work(db: Any, secret: SecretValue) -> None:
    SecretValue.objects.update(created_at=timezone.now() - DAYS_2)

    sweep_drafts(of_a_newer_portal=True)

    assert not SecretValue.objects.exists()
