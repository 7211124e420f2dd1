"""What happens becomes deliveries: each event once, in order, to those who may know of it."""

import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.access.grants.audit_labels import record_on
from apps.accounts.models import User
from apps.clusters.models import Cluster
from apps.deployments.models import Deployment, Health, Revision
from apps.observability.incidents.models import IncidentEvent
from apps.organizations.models import Organization, Workspace
from apps.webhooks.deliveries.dispatching import MOST_EVENTS, dispatch
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.events.models import Event
from apps.webhooks.events.shapes import Envelope
from apps.webhooks.events.topics import ABOUT, Topic, topic_of_action
from apps.webhooks.hooks.models import Webhook
from tests.conftest import new_deployment
from tests.observability.incidents import make_incident
from tests.webhooks.examples import begin_operation, make_webhook, number_audit_events, recorded

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(organization: Organization, alice: User) -> Webhook:
    made = make_webhook(organization, alice)
    number_audit_events()
    Event.objects.all().delete()
    return made


def told(webhook: Webhook | None = None) -> list[tuple[str, str]]:
    dispatch(now=timezone.now())
    rows = WebhookDelivery.objects.order_by("webhook", "sequence")
    if webhook is not None:
        rows = rows.filter(webhook=webhook)
    return [(one.type, one.body["object"].partition("/")[0]) for one in rows]


def test_everything_that_happens_to_a_deployment_is_told_in_its_order(
    hook: Webhook, deployment: Deployment, alice: User
):
    Event.objects.all().delete()
    operation = begin_operation(deployment)
    operation.state, operation.failure = "failed", "The image <b> cannot be pulled."
    operation.save()
    operation.save()
    other = begin_operation(deployment, "update", title="Update")
    other.state = "succeeded"
    other.save()
    revision = Revision.objects.create(deployment=deployment, number=7, config={}, summary="More")
    revision.state = "applying"
    revision.save()
    revision.state = "applied"
    revision.save()
    deployment.health, deployment.health_message = Health.UNHEALTHY, "The scheduler is down."
    deployment.save()
    incident = make_incident(deployment)
    IncidentEvent.objects.create(incident=incident, what="acknowledged", note="On it.")
    recorded(deployment, "deployment.updated", alice, name=["a", "b"])
    recorded(hook.organization, "token.created", alice)
    recorded(deployment.workspace, "role.granted", alice)
    recorded(deployment, "incident.acknowledged", alice)

    found = told()

    assert [kind for kind, _ in found if kind != "incident.opened"] == [
        "deploy.started",
        "deploy.failed",
        "operation.started",
        "operation.succeeded",
        "revision.created",
        "revision.applied",
        "health.changed",
        "incident.acknowledged",
        "deployment.updated",
        "token.created",
        "role.granted",
    ]
    assert not Event.objects.exists()
    assert told() == found, "no event is told twice"
    for one in WebhookDelivery.objects.all():
        envelope = Envelope.model_validate(one.body)
        assert (envelope.id, envelope.sequence) == (one.event, one.sequence)
        assert one.body["organization"]["slug"] == "nordhavn"
    failed = WebhookDelivery.objects.get(type="deploy.failed").body
    assert failed["data"] == {
        "number": 1,
        "kind": "deploy",
        "title": "Deploy of orders",
        "revision": None,
        "failure": "The image <b> cannot be pulled.",
    }
    assert failed["deployment"] == {"id": deployment.ref, "name": deployment.name}
    health = WebhookDelivery.objects.get(type="health.changed").body["data"]
    assert health["after"] == "unhealthy"
    updated = WebhookDelivery.objects.get(type="deployment.updated").body
    assert updated["workspace"]["slug"] == deployment.workspace.slug
    assert updated["data"]["actor"] == alice.email
    assert updated["data"]["changes"] == {"name": ["a", "b"]}


def test_each_webhook_is_told_what_it_chose_and_what_lies_in_its_place(
    organization: Organization,
    workspace: Workspace,
    cluster: Cluster,
    deployment: Deployment,
    alice: User,
    charlie: User,
):
    other = Workspace.objects.create(organization=organization, name="Reports", slug="reports")
    elsewhere = new_deployment(workspace=other, cluster=cluster, name="bi", ref="bi-1")
    far = Organization.objects.exclude(pk=organization.pk).get()
    inside = make_webhook(workspace, alice, name="inside")
    deploys = make_webhook(organization, alice, name="deploys", topics=(Topic.DEPLOYS,))
    off = make_webhook(organization, alice, name="off", is_enabled=False)
    theirs = make_webhook(far, charlie, name="theirs")
    number_audit_events()
    Event.objects.all().delete()

    begin_operation(deployment)
    begin_operation(elsewhere)
    recorded(organization, "role.granted", alice)
    recorded(other, "token.created", alice)
    recorded(workspace, "token.created", alice)

    assert told(inside) == [("deploy.started", "operation"), ("token.created", "workspace")]
    assert told(deploys) == [("deploy.started", "operation")] * 2
    assert told(off) == []
    assert told(theirs) == []


def test_a_deployment_that_moved_is_told_where_it_is_and_one_that_is_gone_is_not_told(
    hook: Webhook, organization: Organization, deployment: Deployment
):
    other = Workspace.objects.create(organization=organization, name="Reports", slug="reports")
    begin_operation(deployment)
    deployment.workspace = other
    deployment.save()

    told()

    body = WebhookDelivery.objects.get(type="deploy.started").body
    assert body["workspace"]["slug"] == "reports"
    Event.objects.create(
        organization_id=0, source="audit", what="x.y", subject="deployment/0", data={}
    )
    assert dispatch(now=timezone.now()) == 1
    assert WebhookDelivery.objects.filter(type="x.y").count() == 0


def test_without_a_webhook_nothing_is_kept(deployment: Deployment, alice: User):
    begin_operation(deployment)
    recorded(deployment, "deployment.updated", alice)

    assert not Event.objects.exists()


def test_ten_thousand_events_take_few_statements(
    hook: Webhook, deployment: Deployment, django_assert_max_num_queries
):
    Event.objects.all().delete()
    data = {"before": "healthy", "after": "unhealthy", "message": ""}
    Event.objects.bulk_create(
        Event(
            organization_id=hook.organization_id,
            deployment_id=deployment.pk,
            source="health",
            what="changed",
            subject=f"deployment/{deployment.pk}",
            data=data,
        )
        for _ in range(MOST_EVENTS)
    )

    with django_assert_max_num_queries(12):
        assert dispatch(now=timezone.now()) == MOST_EVENTS

    hook.refresh_from_db()
    assert hook.last_sequence == MOST_EVENTS


def test_each_event_that_is_documented_has_the_topic_under_which_it_is():
    for topic in (Topic.ACCESS, Topic.TOKENS, Topic.OTHER):
        for example in ABOUT[topic].examples:
            assert topic_of_action(example) == topic, example


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_events_that_commit_at_once_are_told_once_each_in_the_order_of_the_log(
    organization: Organization, alice: User
):
    make_webhook(organization, alice)
    stop, writers = threading.Event(), 4

    def write() -> None:
        for _ in range(10):
            with transaction.atomic():
                record_on(action="role.granted", actor=alice, on=organization, changes={})
        connection.close()

    def take() -> None:
        while not stop.is_set():
            dispatch(now=timezone.now())
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(writers)]
    takers = [threading.Thread(target=take) for _ in range(2)]
    for one in threads + takers:
        one.start()
    for one in threads:
        one.join()
    stop.set()
    for one in takers:
        one.join()
    dispatch(now=timezone.now())

    rows = WebhookDelivery.objects.filter(type="role.granted").order_by("sequence")
    numbers = [one.body["data"]["sequence"] for one in rows]
    assert len(numbers) == 10 * writers
    assert numbers == sorted(set(numbers))
