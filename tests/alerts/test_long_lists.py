"""Lists of what is told, with a thousand rows of long names: small pages, few statements."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.deliveries.models import Delivery
from apps.alerts.places import fields_of
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.deployments.models import Deployment
from apps.objectives.models import Objective
from apps.organizations.models import Organization, Workspace
from apps.status_pages.reports.models import Impact, Report, Stage
from apps.status_pages.subscriptions.models import Subscriber
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.hooks.models import Webhook
from tests.core.pages import check_page
from tests.status_pages.examples import make_page
from tests.webhooks.examples import make_webhook

pytestmark = pytest.mark.django_db
MANY, MOST_BYTES, MOST_STATEMENTS = 1_000, 60_000, 35
NAME = "{:04d} of the pipelines of all warehouses in the northern region, first line <b>"
HERE, ABOVE = "/w/warehouse/", "/o/nordhavn/"


@pytest.fixture
def long_lists(
    deployment: Deployment, workspace: Workspace, organization: Organization, alice: User
) -> dict[str, str]:
    """Fill each list, and return the address of each."""
    now, place = timezone.now(), fields_of(workspace)
    numbers, later = range(MANY), now + timedelta(hours=1)
    channels = Channel.objects.bulk_create(
        Channel(
            **place,
            name=NAME.format(number)[:80],
            kind="email",
            config={"to": [f"team-{number}@example.org"]},
        )
        for number in numbers
    )
    rules = Rule.objects.bulk_create(
        Rule(**place, name=NAME.format(number)[:80], kind="dag-failed", dags=f"dag_{number:04d}*")
        for number in numbers
    )
    Rule.channels.through.objects.bulk_create(
        Rule.channels.through(rule=rule, channel=channel)
        for rule, channel in zip(rules, channels, strict=True)
    )
    Silence.objects.bulk_create(
        Silence(**place, reason=NAME.format(number), begins_at=now, ends_at=later)
        for number in numbers
    )
    Delivery.objects.bulk_create(
        Delivery(
            channel=channels[number],
            event="opened",
            message={"title": NAME.format(number), "rule": NAME.format(number)[:80]},
            give_up_at=later,
            error="The server answered 503: " + "try again later. " * 10,
        )
        for number in numbers
    )
    hook = make_webhook(organization, alice)
    Webhook.objects.bulk_create(
        Webhook(
            **fields_of(organization),
            name=NAME.format(number)[:80],
            host=f"host-{number:04d}.example.org",
            topics=hook.topics,
        )
        for number in numbers
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            webhook=hook,
            sequence=number + 1,
            event=f"evt_{number:036d}",
            type="deployment.operation.succeeded",
            body={"data": {"deployment": {"name": NAME.format(number)}}},
            give_up_at=later,
            answer="The server answered 503: " + "try again later. " * 10,
        )
        for number in numbers
    )
    status = make_page(organization)
    Subscriber.objects.bulk_create(
        Subscriber(
            page=status,
            email=f"reader-{number:04d}@{'sub.' * 20}example.org",
            asked_at=now,
            asked_from="x",
            confirmed_at=now,
        )
        for number in numbers
    )
    Report.objects.bulk_create(
        Report(
            page=status,
            kind="incident",
            title=NAME.format(number),
            impact=Impact.MINOR,
            stage=Stage.RESOLVED,
            begins_at=now - timedelta(hours=number),
            over_at=now,
            posted_at=now,
        )
        for number in numbers
    )
    Objective.objects.bulk_create(
        Objective(deployment=deployment, dag_id=f"dag_{number:04d}_{'x' * 100}", target_percent=99)
        for number in numbers
    )
    return {
        "rules": f"{HERE}alerts/",
        "channels": f"{HERE}alerts/channels/",
        "silences": f"{HERE}alerts/silences/",
        "messages": f"{HERE}alerts/deliveries/",
        "webhooks": f"{ABOVE}webhooks/",
        "deliveries": f"{ABOVE}webhooks/{hook.pk}/",
        "subscribers": f"{ABOVE}status/subscribers/",
        "reports": f"{ABOVE}status/",
        "objectives": f"{HERE}objectives/",
    }


# What finds one row of a thousand, and what is then there of it.
FINDS = {
    "rules": ("0777 of", "0777 of the pipelines"),
    "channels": ("team-777@", "0777 of the pipelines"),
    "silences": ("0777 of", "0777 of the pipelines"),
    "messages": ("0777 of", "0777 of the pipelines"),
    "webhooks": ("host-0777", "0777 of the pipelines"),
    "deliveries": (f"evt_{777:036d}", f"evt_{777:036d}"),
    "subscribers": ("reader-0777", "reader-0777"),
    "reports": ("0777 of", "0777 of the pipelines"),
    "objectives": ("dag_0777", "dag_0777"),
}


def test_a_thousand_rows_are_small_pages_that_can_be_searched(
    long_lists: dict[str, str], alice: User, client_of: Callable[[User], Client]
):
    web, wrong = client_of(alice), []
    web.get(long_lists["rules"])
    for name, path in long_lists.items():
        search, found = FINDS[name]
        with CaptureQueriesContext(connection) as statements:
            first = web.get(path)
        asked = len(statements)
        last = web.get(path, {"page": "9999"})
        narrow = web.get(path, {"q": search})
        nothing = web.get(path, {"q": "no-such-thing"})
        for answer in (first, last, narrow, nothing):
            check_page(answer.content.decode())
        text = narrow.content.decode()
        size = len(first.content)
        if size > MOST_BYTES or asked > MOST_STATEMENTS:
            wrong.append(f"{name}: {size} bytes, {asked} statements")
        if "of 1,00" not in first.content.decode() and "of 100" not in first.content.decode():
            wrong.append(f"{name}: no pages")
        if found not in text or "0778" in text or "No matches" in text:
            wrong.append(f"{name}: {search} not found alone")
        if "no-such-thing" not in nothing.content.decode():
            wrong.append(f"{name}: the search is lost")
    assert not wrong, "\n".join(wrong)
