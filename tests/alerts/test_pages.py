"""The pages, as the people who use them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.channels.models import Channel
from apps.alerts.channels.services import secrets_of
from apps.alerts.deliveries.models import Delivery
from apps.alerts.evaluation.models import Alert
from apps.alerts.rules.models import Rule
from apps.alerts.silences.models import Silence
from apps.alerts.sweeping.sweep import sweep
from apps.audit.models import AuditEvent
from apps.dags.models import DagSummary
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from tests.alerts.examples import ended, make_channel, make_rule
from tests.core.pages import check_page

pytestmark = pytest.mark.django_db
HERE = "/w/warehouse/alerts/"
RULE = {
    "name": "Orders failed",
    "dags": "ord*",
    "severity": "30",
    "grouping": "deployment",
    "repeat_minutes": "0",
    "escalate_minutes": "0",
    "tells_resolved": "on",
}


@pytest.fixture
def client(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def mail(workspace: Workspace, alice: User) -> Channel:
    return make_channel(workspace, alice)


def page(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    text = response.content.decode()
    check_page(text)
    return text


def test_an_alert_in_a_minute(client: Client, deployment: Deployment, mail: Channel, alice: User):
    DagSummary.objects.create(
        deployment=deployment, dag_id="orders", is_paused=False, has_import_error=False
    )
    ended(deployment, at=timezone.now() - timedelta(days=1))
    assert "rules/new/dag-failed/" in page(client, f"{HERE}rules/new/")
    assert "Critical: DAG" not in page(client, f"{HERE}rules/new/dag-failed/")
    told = {**RULE, "channels": [mail.pk]}

    preview = client.post(f"{HERE}rules/new/dag-failed/", {**told, "preview": "1"})
    made = client.post(f"{HERE}rules/new/dag-failed/", told)

    text = preview.content.decode()
    check_page(text)
    assert "Critical: DAG orders failed in etl-prod" in text
    assert "1 time in the last 7 days" in " ".join(text.split())
    assert made.status_code == 302
    rule = Rule.objects.get()
    assert (rule.dags, rule.severity, list(rule.channels.all())) == ("ord*", 30, [mail])
    assert AuditEvent.objects.filter(action="alert_rule.created").exists()
    shown = page(client, HERE)
    assert "Orders failed" in shown
    assert "Switch off" in shown


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        ("dag-failed", {"channels": []}, "Choose at least one channel"),
        ("dag-failed", {"name": ""}, "Name"),
        ("dag-slow", {"limit_minutes": "0"}, "Longer than"),
        ("dag-late", {"due_at": "x"}, "Enter a time of day such as 06:30."),
        ("dag-late", {"due_at": "06:30", "zone": "Mars/Olympus"}, "Time zone"),
        ("dag-failed", {"escalate_minutes": "15"}, "Choose the channel to escalate to."),
        ("dag-failed", {"dags": ",".join("x" * 99)}, "Enter at most 50 names."),
    ],
)
def test_a_rule_that_is_wrong_is_said_at_its_field(
    client: Client, mail: Channel, kind: str, wrong: dict[str, Any], said: str
):
    response = client.post(f"{HERE}rules/new/{kind}/", {**RULE, "channels": [mail.pk], **wrong})

    assert response.status_code == 422
    text = response.content.decode()
    check_page(text)
    assert said in text
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("fields", "is_marked"),
    [
        ({"dags": "orders"}, False),
        ({"dags": "bills, orders"}, False),
        ({"dags": "orders_v1"}, True),
        ({"dags": "ord*"}, False),
        ({"dags": "gone*"}, False),
        ({"dags": ""}, False),
        ({"dags": "orders", "deployments": "other-*"}, True),
        ({"dags": "elsewhere"}, True),
    ],
)
def test_a_rule_that_names_a_dag_which_is_gone_is_marked(
    client: Client,
    client_of: Callable[[User], Client],
    bob: User,
    make_deployment: Callable[..., Deployment],
    workspace: Workspace,
    organization: Organization,
    fields: dict[str, str],
    is_marked: bool,
):
    other = Workspace.objects.create(organization=organization, name="Other", slug="other-3")
    for dag, place in (("orders", workspace), ("elsewhere", other)):
        one = make_deployment(name=f"etl-{dag}")
        Deployment.objects.filter(pk=one.pk).update(workspace=place)
        DagSummary.objects.create(
            deployment=one, dag_id=dag, is_paused=False, has_import_error=False
        )
    make_rule(workspace, channels=[], **fields)

    assert ("No such DAG is known" in page(client, HERE)) == is_marked
    assert "No such DAG is known" not in page(client_of(bob), HERE)


def test_every_kind_of_rule_can_be_made_and_changed(client: Client, mail: Channel):
    more = {
        "limit_minutes": "60",
        "due_at": "06:30",
        "zone": "Europe/Copenhagen",
        "weekdays": ["0", "4"],
        "within_hours": "6",
        "incident_kinds": ["unhealthy"],
    }
    told = {**RULE, "channels": [mail.pk], **more}
    for kind in ("dag-failed", "task-failed", "dag-late", "dag-slow", "task-slow", "incident"):
        assert client.post(f"{HERE}rules/new/{kind}/", told).status_code == 302
    succeeded = client.post(f"{HERE}rules/new/dag-succeeded/", told)
    assert succeeded.status_code == 302

    for rule in Rule.objects.all():
        path = f"{HERE}rules/{rule.pk}/"
        assert "Preview" in page(client, path)
        assert client.post(path, {**told, "name": f"New {rule.kind}"}).status_code == 302
        rule.refresh_from_db()
        assert rule.name == f"New {rule.kind}"
    assert "Not finished by 06:30 Europe/Copenhagen on Mon, Fri" in page(client, HERE)


def test_a_rule_is_switched_and_deleted(client: Client, workspace: Workspace, mail: Channel):
    rule = make_rule(workspace, channels=[mail])

    client.post(f"{HERE}rules/{rule.pk}/switch/", {"to": "off"})
    rule.refresh_from_db()
    assert not rule.is_enabled
    client.post(f"{HERE}rules/{rule.pk}/switch/", {"to": "on"})
    rule.refresh_from_db()
    assert rule.is_enabled
    assert timezone.now() - rule.since < timedelta(minutes=1)
    assert "Delete rule" in page(client, f"{HERE}rules/{rule.pk}/delete/")
    client.post(f"{HERE}rules/{rule.pk}/delete/")
    assert not Rule.objects.exists()


def test_channels_keep_their_secrets(client: Client, workspace: Workspace):
    url = "https://hooks.slack.example/T0/secret-of-slack"

    made = client.post(f"{HERE}channels/new/slack/", {"name": "#oncall", "url": url})

    assert made.status_code == 302
    channel = Channel.objects.get(kind="slack")
    assert secrets_of(channel)["url"] == url
    assert b"secret-of-slack" not in bytes(channel.sealed)
    for path in ("channels/", f"channels/{channel.pk}/", ""):
        text = page(client, f"{HERE}{path}")
        assert "secret-of-slack" not in text
    assert "hooks.slack.example" in page(client, f"{HERE}channels/")
    client.post(f"{HERE}channels/{channel.pk}/", {"name": "#renamed", "url": ""})
    channel.refresh_from_db()
    assert channel.name == "#renamed"
    assert secrets_of(channel)["url"] == url
    assert not AuditEvent.objects.filter(changes__icontains="secret-of-slack").exists()


@pytest.mark.parametrize(
    ("kind", "entered", "said"),
    [
        ("slack", {"url": ""}, "Enter an address that begins with https://"),
        ("slack", {"url": "http://x.example/"}, "Enter an address that begins with https://"),
        ("slack", {"url": "https://a:b@x.example/"}, "Leave the user and the password out"),
        ("slack", {"url": "https://x.example:99999/"}, "Enter an address that begins with"),
        ("email", {"to": "no address"}, "is no email address."),
        ("email", {"to": "\n".join(f"a{n}@x.org" for n in range(21))}, "Enter at most 20"),
        ("pagerduty", {"key": "", "region": "us"}, "Enter the integration key."),
        ("webhook", {"url": "https://x.example", "key": "short"}, "Enter at least 16"),
        ("email", {"name": "EMAIL channel", "to": "a@x.org"}, "There is a channel"),
    ],
)
def test_a_channel_that_is_wrong_is_said_at_its_field(
    client: Client, mail: Channel, kind: str, entered: dict[str, str], said: str
):
    response = client.post(f"{HERE}channels/new/{kind}/", {"name": "Another", **entered})

    assert response.status_code == 422
    check_page(response.content.decode())
    assert said in response.content.decode()
    assert Channel.objects.count() == 1


def test_a_test_message_shows_the_answer(client: Client, mail: Channel):
    response = client.post(f"{HERE}channels/{mail.pk}/test/", follow=True)

    assert "The test was delivered to email channel" in response.content.decode()


def test_a_shared_channel_is_offered_below_until_it_is_not_shared(
    client: Client, organization: Organization, workspace: Workspace, alice: User
):
    shared = make_channel(organization, alice, is_shared=True, name="Shared")
    make_channel(organization, alice, name="Private")
    form = page(client, f"{HERE}rules/new/dag-failed/")
    assert "Shared" in form
    assert "Private" not in form
    rule = make_rule(workspace, channels=[shared])

    client.post(
        f"/o/nordhavn/alerts/channels/{shared.pk}/", {"name": "Shared", "to": "a@example.org"}
    )

    assert not rule.channels.exists()
    assert client.get(f"{HERE}channels/{shared.pk}/").status_code == 404


def test_an_alert_has_a_page_and_is_acknowledged(
    client: Client, deployment: Deployment, workspace: Workspace, mail: Channel, alice: User
):
    now = timezone.now()
    make_rule(workspace, channels=[mail], since=now - timedelta(hours=1))
    ended(deployment, "<b>orders", run="<script>", at=now)
    sweep(now=now)
    alert = Alert.objects.get()
    path = f"/d/{deployment.ref}/alerts/{alert.pk}/"
    assert Delivery.objects.get().message["url"].endswith(path)

    text = page(client, path)
    assert "&lt;b&gt;orders" in text
    assert "<script>" not in text
    client.post(f"{path}acknowledge/")

    alert.refresh_from_db()
    assert alert.acknowledged_by == alice
    assert "Acknowledged" in page(client, path)
    assert "acknowledged by Alice" in page(client, HERE)


def test_a_message_is_sent_again_from_the_log(
    client: Client, deployment: Deployment, workspace: Workspace, mail: Channel
):
    now = timezone.now()
    make_rule(workspace, channels=[mail], since=now - timedelta(hours=1))
    ended(deployment, at=now)
    sweep(now=now)
    Delivery.objects.update(state="failed", error="503 <i>away</i>")

    text = page(client, f"{HERE}deliveries/")
    assert "503 &lt;i&gt;away" in text
    assert "No matching messages" in page(client, f"{HERE}deliveries/?state=waiting")
    assert "Resend" in page(client, f"{HERE}deliveries/?state=failed&channel={mail.pk}&page=9")
    client.post(f"{HERE}deliveries/{Delivery.objects.get().pk}/resend/")
    assert Delivery.objects.get().state == "waiting"


def test_silences_begin_and_end(client: Client, deployment: Deployment):
    entered = {"hours": "2", "weekdays": ["6"], "begins_at": "2026-11-01T22:00", "reason": "Move"}
    assert client.post(f"{HERE}silences/", {"hours": "4"}).status_code == 302
    assert client.post(f"{HERE}silences/", entered).status_code == 302
    too_long = client.post(f"{HERE}silences/", {**entered, "hours": "72"})
    assert too_long.status_code == 422

    text = page(client, f"{HERE}silences/")
    assert "Silent now" in text
    assert "Sun, " in text
    for silence in Silence.objects.all():
        client.post(f"{HERE}silences/{silence.pk}/end/")
    assert "End silence" not in page(client, f"{HERE}silences/")


def test_members_see_alerts_of_what_they_see_and_no_more(
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
    deployment: Deployment,
    workspace: Workspace,
    mail: Channel,
):
    now = timezone.now()
    rule = make_rule(workspace, channels=[mail], since=now - timedelta(hours=1))
    ended(deployment, at=now)
    sweep(now=now)
    alert = Alert.objects.get()

    text = page(client_of(bob), HERE)
    assert "orders" in text
    assert "Needs the role" in text
    for path in ("channels/", "deliveries/", "silences/", f"rules/{rule.pk}/"):
        assert client_of(bob).get(f"{HERE}{path}").status_code == 403
        assert client_of(charlie).get(f"{HERE}{path}").status_code == 404
    assert client_of(bob).get(f"/d/{deployment.ref}/alerts/{alert.pk}/").status_code == 200
    acknowledged = client_of(bob).post(f"/d/{deployment.ref}/alerts/{alert.pk}/acknowledge/")
    assert acknowledged.status_code == 403


def test_rows_of_other_places_are_not_found(
    client: Client, organization: Organization, alice: User, deployment: Deployment
):
    above = make_channel(organization, alice)
    rule = make_rule(organization, channels=[above])

    for path in (f"channels/{above.pk}/", f"rules/{rule.pk}/"):
        assert client.get(f"{HERE}{path}").status_code == 404
        assert client.get(f"/o/nordhavn/alerts/{path}").status_code == 200
    assert client.get(f"/d/{deployment.ref}/alerts/999/").status_code == 404


@pytest.mark.parametrize("path", ["", "channels/", "deliveries/"])
def test_lists_cost_the_same_however_long_they_are(
    client: Client,
    deployment: Deployment,
    workspace: Workspace,
    mail: Channel,
    alice: User,
    path: str,
    django_assert_max_num_queries: Any,
):
    now = timezone.now()

    def more(number: int) -> None:
        channel = make_channel(workspace, alice, name=f"Channel {number}")
        make_rule(
            workspace, channels=[mail, channel], grouping="dag", since=now - timedelta(hours=1)
        )
        ended(deployment, f"dag_{number}", at=now)

    for number in range(3):
        more(number)
    sweep(now=now)
    client.get(f"{HERE}{path}")

    with django_assert_max_num_queries(22) as few:
        assert client.get(f"{HERE}{path}").status_code == 200
    for number in range(3, 9):
        more(number)
    sweep(now=now + timedelta(seconds=1))
    with django_assert_max_num_queries(22) as many:
        assert client.get(f"{HERE}{path}").status_code == 200

    assert len(many) <= len(few)
