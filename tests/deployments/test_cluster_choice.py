"""Where a new Deployment is to run: only on what its workspace may use, with the choices there."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.clusters.services import choose_workspaces, remove_cluster
from apps.core.errors import Invalid
from apps.deployments.configuration.changes import changes, summary_of
from apps.deployments.configuration.options import deployment_options
from apps.deployments.configuration.schema import Configuration
from apps.deployments.editing.drafts import confirm_draft
from apps.deployments.models import Deployment, Draft
from apps.deployments.reconciling.compiler import compile_spec
from apps.organizations.models import Organization, Workspace
from tests.clusters.material import registered
from tests.deployments.pages import fill, form_data, text_of

NEW = "/w/warehouse/deployments/new/"


@pytest.fixture
def remote(organization: Organization) -> Cluster:
    return registered(organization, has_keda=True)


@pytest.fixture
def browser(
    alice: User, workspace: Workspace, plane: Any, client_of: Callable[[User], Client]
) -> Client:
    return client_of(alice)


def test_the_only_cluster_is_chosen_already(browser: Client, remote: Cluster) -> None:
    page = browser.get(NEW)

    data = form_data(page)
    assert data["cluster"] == str(remote.pk)
    assert data["queues-0-size"] == "A5"
    assert data["queues-0-concurrency"] == "5"
    assert "A160 · 32 CPU, 64 GiB" in text_of(page)
    assert "Revert" in text_of(page)
    assert "no KEDA" not in text_of(page)


def test_a_deployment_is_created_on_kubernetes(browser: Client, remote: Cluster) -> None:
    fields = {"queues__0__size": "A20", "queues__0__concurrency": "60", "drift": "report"}

    review = browser.get(fill(browser, NEW, name="etl", **fields)["Location"])
    browser.post(review.wsgi_request.path, {})

    assert "A20, 60 tasks per worker" in text_of(review)
    assert "report only" in text_of(review)
    deployment = Deployment.objects.get()
    assert deployment.cluster == remote
    assert deployment.wanted
    spec = compile_spec(deployment=deployment, revision=deployment.wanted)
    assert spec.queues[0].size == "A20"
    assert not spec.corrects_drift


def test_the_kubernetes_executor_has_no_queues(browser: Client, remote: Cluster) -> None:
    review = fill(browser, NEW, name="etl", executor="kubernetes")

    assert review.status_code == 302
    assert Draft.objects.get().config["queues"] == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"queues__0__concurrency": "16"}, "Tasks per worker must be between 1 and 15"),
        ({"queues__0__size": "local"}, "Choose a worker size from the list."),
        ({"queues__0__max_workers": "31"}, "between 1 and 30"),
        ({"executor": "local"}, "Choose an executor that the cluster offers."),
        ({"drift": "x"}, "Choose what to do about drift."),
    ],
)
def test_what_the_cluster_does_not_offer_is_refused(
    browser: Client, remote: Cluster, fields: dict[str, str], says: str
) -> None:
    page = fill(browser, NEW, name="etl", **fields)

    assert page.status_code == 422
    assert says in text_of(page)


def test_without_keda_the_form_says_that_workers_stay(browser: Client, remote: Cluster) -> None:
    Cluster.objects.update(has_keda=False)

    assert "This cluster has no KEDA" in text_of(browser.get(NEW))


def test_another_cluster_brings_its_own_choices_and_nothing_typed_is_lost(
    browser: Client, cluster: Cluster, remote: Cluster
) -> None:
    typed = {"name": "etl", "description": "Loads all", "queues__0__max_workers": "7"}

    page = fill(browser, NEW, **typed, cluster=str(remote.pk), row="cluster")

    data = form_data(page)
    assert page.status_code == 200
    assert "choices below are those of eu-1" in text_of(page)
    assert (data["queues-0-size"], data["queues-0-concurrency"]) == ("A5", "5")
    assert (data["name"], data["description"]) == ("etl", "Loads all")
    assert data["queues-0-max_workers"] == "7"
    assert browser.post(NEW, data).status_code == 302
    assert Draft.objects.get().cluster == remote


def test_a_choice_of_cluster_is_followed_at_once_by_script(
    browser: Client, cluster: Cluster, remote: Cluster
) -> None:
    form = browser.get(NEW).content.decode()

    assert 'data-hx-trigger="change" data-hx-vals=\'{"row": "cluster"}\'' in form
    assert 'data-hx-target="#choices"' in form
    assert form.index("<noscript>") < form.index('name="row" value="cluster"')


def test_review_goes_to_the_review_of_another_cluster_and_says_what_was_replaced(
    browser: Client, cluster: Cluster, remote: Cluster
) -> None:
    answer = fill(browser, NEW, name="etl", cluster=str(remote.pk))

    assert answer.status_code == 302
    assert Draft.objects.get().cluster == remote
    review = text_of(browser.get(answer["Location"]))
    assert "on eu-1" in review
    assert "A5, 5 tasks per worker" in review
    assert "eu-1 does not offer everything you chose" in review


def test_a_draft_moves_to_another_cluster(
    browser: Client, cluster: Cluster, remote: Cluster
) -> None:
    review = fill(browser, NEW, name="etl")["Location"]
    draft = Draft.objects.get()
    assert draft.cluster == cluster

    page = fill(browser, f"{review}edit/", cluster=str(remote.pk), row="cluster")
    browser.post(f"{review}edit/", form_data(page))

    draft.refresh_from_db()
    assert draft.cluster == remote


def test_the_cluster_of_the_newest_deployment_is_offered_first(
    browser: Client, cluster: Cluster, remote: Cluster, make_deployment: Callable[..., Deployment]
) -> None:
    assert form_data(browser.get(NEW))["cluster"] == str(cluster.pk)

    make_deployment(cluster=remote)

    assert form_data(browser.get(NEW))["cluster"] == str(remote.pk)
    assert form_data(browser.get(f"{NEW}?cluster={cluster.pk}"))["cluster"] == str(cluster.pk)


def test_clusters_of_other_workspaces_are_not_offered(
    browser: Client, cluster: Cluster, remote: Cluster, alice: User, organization: Organization
) -> None:
    other = Workspace.objects.create(organization=organization, name="Other", slug="others")
    choose_workspaces(actor=alice, cluster=remote, is_for_all=False, workspaces=[other])

    page = browser.get(NEW)
    answer = fill(browser, NEW, name="etl", cluster=str(remote.pk))

    assert "eu-1" not in text_of(page)
    assert answer.status_code == 422
    assert "Choose a cluster from the list." in text_of(answer)


def test_a_cluster_that_may_no_longer_be_used_is_refused_at_the_end(
    browser: Client, remote: Cluster, alice: User
) -> None:
    fill(browser, NEW, name="etl")
    draft = Draft.objects.get()
    remove_cluster(actor=alice, cluster=remote, typed_name="eu-1")

    with pytest.raises(Invalid, match="cannot use the cluster eu-1"):
        confirm_draft(actor=alice, draft=draft)
    assert "No cluster available" in text_of(browser.get(NEW))


def test_a_cluster_in_trouble_says_so_where_it_is_chosen(
    browser: Client, cluster: Cluster, remote: Cluster
) -> None:
    Cluster.objects.filter(pk=remote.pk).update(
        unreachable_since=timezone.now(), last_error="Nobody listens there."
    )

    assert "Unreachable since" in text_of(browser.get(NEW))


def test_the_drift_policy_is_a_change_like_others(remote: Cluster) -> None:
    options = deployment_options(cluster=remote, today=timezone.now().date())
    old = options.new_configuration()
    new = Configuration.from_json(old.to_json() | {"corrects_drift": False})

    (change,) = changes(old, new)

    assert (change.before, change.after) == ("reverted", "report only")
    assert change.effect == "Nothing restarts"
    assert "Drift" in summary_of((change,))
    # What an older portal stored has no word on it.
    stored = {name: value for name, value in old.to_json().items() if name != "corrects_drift"}
    assert Configuration.from_json(stored).corrects_drift
