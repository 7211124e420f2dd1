"""Whoever applies secret values confirms who they are, unless that was done lately."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.sessions.services import SIGNED_IN_AT
from apps.deployments.configuration.schema import Configuration, Variable
from apps.deployments.editing.drafts import save_draft, store_secret
from apps.deployments.models import Deployment, Draft
from tests.conftest import PASSWORD
from tests.deployments.conftest import CONFIGURATION

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(alice: User, client_of: Callable[[User], Client]) -> Client:
    """Alice, who signed in an hour ago."""
    client = client_of(alice)
    client.get(reverse("accounts:profile"))
    session = client.session
    session[SIGNED_IN_AT] = time.time() - 3600
    session.save()
    return client


def draft_of(alice: User, running: Deployment, configuration: Configuration) -> Draft:
    return save_draft(
        actor=alice,
        workspace=running.workspace,
        cluster=running.cluster,
        configuration=configuration,
        deployment=running,
        base=running.wanted,
    )


def applied(running: Deployment) -> Configuration:
    wanted = Deployment.objects.get(pk=running.pk).wanted
    assert wanted
    return wanted.configuration


def test_a_new_secret_is_applied_after_confirming(
    alice: User, running: Deployment, browser: Client
) -> None:
    secret = store_secret(actor=alice, workspace=running.workspace, value="of the warehouse")
    variable = Variable(key="TOKEN", secret_id=str(secret.pk))
    draft = draft_of(alice, running, replace(CONFIGURATION, variables=(variable,)))
    url = reverse("deployments:review", args=[running.workspace.slug, draft.pk])

    asked = browser.post(url, {"reason": "for the loads"})
    before = applied(running).variables
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": url})

    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    assert before == ()
    assert applied(running).variables == (variable,)


def test_a_change_without_secrets_asks_nothing(
    alice: User, running: Deployment, browser: Client
) -> None:
    draft = draft_of(alice, running, replace(CONFIGURATION, description="Nightly loads"))
    url = reverse("deployments:review", args=[running.workspace.slug, draft.pk])

    browser.post(url, {"reason": ""})

    assert applied(running).description == "Nightly loads"
