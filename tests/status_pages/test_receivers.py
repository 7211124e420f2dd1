"""Webhooks and Slack that visitors subscribe: the question, updates, and how it ends."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.alerts.deliveries.payloads import signed_request
from apps.audit.models import AuditEvent
from apps.core.outbound.addresses import why_refused
from apps.organizations.models import Organization
from apps.status_pages.posting.services import post_update
from apps.status_pages.reports.models import Stage
from apps.status_pages.sender import ReceiverSender
from apps.status_pages.setup.models import StatusPage
from apps.status_pages.subscriptions import addresses, delivering, payloads, services
from apps.status_pages.subscriptions.addresses import address_of, opened
from apps.status_pages.subscriptions.models import Receiver, Subscriber
from tests.alerts import receivers
from tests.core.pages import check_page
from tests.status_pages.examples import MINUTE, NOW, make_component, make_page, make_report

pytestmark = pytest.mark.django_db
ASK = "/status/nordhavn/subscribe/receiver/"


@pytest.fixture
def page(organization: Any) -> StatusPage:
    return make_page(organization)


@pytest.fixture
def there(settings: Any, monkeypatch: Any) -> Iterator[receivers.Receiver]:
    """A receiver on this machine, which the operator allows; it answers with the challenge."""
    settings.STATUS_NETWORKS, settings.ALERTS_ALLOW_HTTP = ("127.0.0.0/8",), True
    monkeypatch.setitem(receivers.MOODS, "answering", _answer_challenge)
    monkeypatch.setitem(receivers.MOODS, "echoing", _echo)
    monkeypatch.setitem(receivers.MOODS, "gone", lambda one: receivers._answer(one, 410, b""))
    with receivers.receiver() as found:
        found.mood = "answering"
        monkeypatch.setattr(receivers, "_received", found.requests, raising=False)
        yield found


def _answer_challenge(handler: Any) -> None:
    said = json.loads(receivers._received[-1][2])["data"]
    receivers._answer(handler, 200, json.dumps({"challenge": said.get("challenge")}).encode())


def _echo(handler: Any) -> None:
    receivers._answer(handler, 200, receivers._received[-1][2])


def ask(page: StatusPage, url: str, *, kind: str = "webhook", network: str = "a", now: Any = NOW):
    services.ask_receiver(
        page=page,
        address=address_of(kind=kind, url=url),
        component_keys=(),
        network=network,
        now=now,
    )


def send(now: Any = NOW) -> int:
    """Send all that is due; return how many receivers it was due to."""
    due = delivering.take_due(most=50)
    for pk, lease in due:
        delivering.empty_receiver(receiver_id=pk, lease=lease, clock=lambda: now)
    return len(due)


def subscribed(page: StatusPage, there: receivers.Receiver, *chosen: Any) -> Receiver:
    ask(page, there.url)
    assert send() == 1
    there.requests.clear()
    made = Receiver.objects.get()
    made.subscriber.components.set(chosen)
    return made


def post(report: Any, actor: Any, text: str = "Better.", now: Any = NOW) -> Any:
    return post_update(actor=actor, report=report, stage=Stage.MONITORING, text=text, now=now)


def link_in(text: str) -> str:
    return re.findall(r"https?://[^/]+(/status-mail/[^\s|>\"]+)", text)[0]


def test_a_webhook_that_answers_the_challenge_is_told_of_updates_and_ends_by_a_click(
    page: StatusPage, client: Client, alice: Any, there: Any
):
    component = make_component(page)
    report = make_report(page, component)
    entered = {"kind": "webhook", "url": there.url, "components": [component.key]}
    assert client.get(ASK).status_code == 200
    response = client.post(ASK, entered)
    check_page(response.content.decode())
    assert there.url not in response.content.decode()
    assert send() == 1
    asked = json.loads(there.requests[0][2])
    assert asked["type"] == "subscription.confirm"
    assert Subscriber.objects.get().confirmed_at is not None

    update = post(report, alice)
    assert [send(), send()] == [1, 0]

    _, headers, body = there.requests[1]
    told = json.loads(body)
    assert told["type"] == "incident.updated"
    assert told["data"]["update"]["body"] == "Better."
    assert told["data"]["incident"]["components"] == [
        {"id": component.key, "name": "Morning reports", "status": "unknown"}
    ]
    # Who subscribed never saw the secret: it was sent to the receiver alone.
    expected = signed_request(
        told,
        url=there.url,
        keys=[asked["data"]["secret"]],
        delivery=f"upd_{update.key}",
        at=int(headers["webhook-timestamp"]),
    )
    assert headers["webhook-signature"] == expected.headers["webhook-signature"]
    assert headers["webhook-id"] == f"upd_{update.key}"
    address = link_in(told["data"]["unsubscribe_url"])
    check_page(client.get(address).content.decode())
    assert Client(enforce_csrf_checks=True).post(address).status_code == 200
    assert not Subscriber.objects.exists()


def test_slack_is_asked_with_a_link_and_text_of_people_is_escaped(
    page: StatusPage, client: Client, alice: Any, there: Any, monkeypatch: Any
):
    monkeypatch.setattr(addresses, "SLACK_HOSTS", {"127.0.0.1"})
    monkeypatch.setattr(addresses, "_is_slack", lambda url: True)
    there.mood = "good"
    StatusPage.objects.update(name="<!channel> data")
    ask(page, there.url, kind="slack")
    send()
    assert Subscriber.objects.get().confirmed_at is None
    question = json.loads(there.requests[0][2])
    assert "<!channel>" not in json.dumps(question)
    link = link_in(question["blocks"][0]["text"]["text"])
    assert client.get(link).status_code == 200
    assert Subscriber.objects.get().confirmed_at is None
    client.post(link)

    report = make_report(page, title="<https://evil.example|Click>")
    post(report, alice, text="<!here> " + "&" * 1_990)
    send()

    told = json.loads(there.requests[1][2])
    text = told["blocks"][0]["text"]["text"]
    assert len(text) <= 3_000
    assert "<!here>" not in text
    assert "<https://evil" not in text
    assert text.count("|Unsubscribe>") == 1
    link = link_in(text.rpartition("·")[2])
    client.post(link)
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("mood", ["good", "echoing", "failing", "redirect", "vanishing"])
def test_who_subscribes_the_webhook_of_another_achieves_one_question(
    page: StatusPage, alice: Any, there: Any, mood: str
):
    there.mood = mood
    ask(page, there.url)
    send()
    post(make_report(page), alice)

    assert send() == 0
    assert len(there.requests) == 1
    assert Subscriber.objects.get().confirmed_at is None
    services.forget_unconfirmed(now=NOW + timedelta(days=5))
    assert not Receiver.objects.exists()


@pytest.mark.parametrize(
    ("answer", "is_answered"),
    [
        (b"abc", True),
        (b" abc\n", True),
        (b'{"challenge": "abc"}', True),
        (b'"abc"', False),
        (b'{"challenge": "abc", "type": "subscription.confirm"}', False),
        (b'{"json": {"challenge": "abc"}}', False),
        (b"", False),
        (b"[" * 100_000, False),
        (b"\xff\x00", False),
    ],
)
def test_an_answer_is_the_challenge_and_nothing_else(answer: bytes, is_answered: bool):
    assert payloads.is_answered(answer, "abc") is is_answered


def test_one_receiver_and_one_host_are_asked_seldom(page: StatusPage, charlie: Any):
    other = make_page(Organization.objects.get(slug="elsewhere"))
    for minute in (0, 5, 9, *range(10, 24 * 60, 150)):
        for one in (page, other):
            ask(one, "https://A.example.org/in", network=str(minute), now=NOW + minute * MINUTE)
    assert sum(Subscriber.objects.values_list("asks", flat=True)) == services.ADDRESS_IN_ALL
    assert Receiver.objects.count() == 2

    for number in range(50):
        ask(page, f"https://b.example.org/{number}", network=str(number))
    assert Receiver.objects.filter(host="b.example.org").count() == services.AT_HOST


def test_a_network_asks_for_few_receivers_in_an_hour(page: StatusPage):
    for number in range(50):
        ask(page, f"https://{number}.example.org/")

    assert Receiver.objects.count() == services.OF_NETWORK


def test_the_answer_is_the_same_whatever_is_known(page: StatusPage, client: Client):
    ask(page, "https://known.example.org/")
    for _ in range(services.OF_NETWORK):
        client.post(ASK, {"kind": "webhook", "url": "https://x.example.org/"})
    pages = {
        client.post(ASK, {"kind": "webhook", "url": f"https://{name}.example.org/"}).content
        for name in ("known", "new")
    }

    assert len({re.sub(rb"[0-9a-f]{16}", b"", one) for one in pages}) == 1


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("webhook", ""),
        ("webhook", "http://hooks.example.org/in"),
        ("webhook", "https://user:pass@hooks.example.org/in"),
        ("webhook", "file:///etc/passwd"),
        ("webhook", "https://hooks.example.org/in\r\nX-Evil: 1"),
        ("webhook", "https://" + "x" * 2_000),
        ("slack", "https://hooks.example.org/services/T0/B0/x"),
        ("slack", "https://hooks.slack.com.evil.example/services/T0/B0/x"),
        ("slack", "https://evil.example@hooks.slack.com/services/T0/B0/x"),
        ("slack", "https://hooks.slack.com/services/../api/x"),
        ("slack", "https://hooks.slack.com:8443/services/T0/B0/x"),
        ("slack", "https://hooks.slack.com/services/T0/B0/x?a=b"),
        ("carrier pigeon", "https://hooks.example.org/in"),
    ],
)
def test_what_is_no_address_is_refused_at_its_field(
    page: StatusPage, client: Client, kind: str, url: str
):
    response = client.post(ASK, {"kind": kind, "url": url})

    assert response.status_code == 422
    check_page(response.content.decode())
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("change", [{"is_on": False}, {"audience": "members"}])
def test_a_page_that_is_not_public_takes_and_tells_no_receiver(
    page: StatusPage, client: Client, alice: Any, there: Any, change: dict[str, Any]
):
    subscribed(page, there)
    post(make_report(page), alice)
    StatusPage.objects.update(**change)

    assert client.get(ASK).status_code == 404
    assert client.post(ASK, {"kind": "webhook", "url": there.url}).status_code == 404
    assert [send(), send()] == [1, 0]
    assert there.requests == []


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "fc00::1", "100.64.0.1", "::1"])
def test_visitors_reach_public_servers_alone(address: str):
    found = why_refused(address, networks=(), setting="PORTAL_STATUS_NETWORKS", is_public_only=True)

    assert "PORTAL_STATUS_NETWORKS" in found
    assert not why_refused("93.184.216.34", networks=(), setting="X", is_public_only=True)
    assert not why_refused("10.0.0.1", networks=("10.0.0.0/8",), setting="X", is_public_only=True)


def test_a_visitor_does_not_make_the_portal_connect_inside(
    page: StatusPage, there: Any, settings: Any
):
    settings.STATUS_NETWORKS = ()

    ask(page, there.url)
    send()

    assert there.requests == []
    assert "own machine" in Receiver.objects.get().last_error


def test_updates_arrive_in_order_of_chosen_components_after_an_outage(
    page: StatusPage, alice: Any, there: Any
):
    mine, other = make_component(page), make_component(page, name="Prices")
    first, second = make_report(page, mine), make_report(page, other)
    found = subscribed(page, there, mine)
    there.mood = "failing"
    post(first, alice, "One.")
    post(second, alice, "Not mine.")
    send(timezone.now())
    post(first, alice, "Two.")
    assert send() == 0
    found.refresh_from_db()
    assert found.failures == 1
    assert found.last_error.startswith("It answered 503")
    assert found.next_at >= NOW + 2 * MINUTE

    there.mood = "good"
    Receiver.objects.update(next_at=NOW)
    there.requests.clear()
    assert [send(), send()] == [1, 0]

    bodies = [json.loads(body)["data"]["update"]["body"] for _, _, body in there.requests]
    assert bodies == ["One.", "Two."]
    found.refresh_from_db()
    assert (found.failures, found.failing_since, found.last_error) == (0, None, "")


def test_one_that_fails_for_three_days_is_ended_and_recorded_without_its_address(
    page: StatusPage, alice: Any, there: Any
):
    subscribed(page, there)
    there.mood = "failing"
    post(make_report(page), alice)
    for hours in (0, 24, 71):
        Receiver.objects.update(next_at=None)
        send(NOW + timedelta(hours=hours))
    assert Subscriber.objects.exists()

    Receiver.objects.update(next_at=None)
    send(NOW + timedelta(hours=72))

    assert not Subscriber.objects.exists()
    event = AuditEvent.objects.get(action="status_page.subscriber_given_up")
    assert "127.0.0.1" in json.dumps(event.changes)
    assert "/in" not in json.dumps(event.changes)


def test_one_that_says_it_is_gone_is_ended_at_once(page: StatusPage, alice: Any, there: Any):
    subscribed(page, there)
    there.mood = "gone"
    post(make_report(page), alice)
    send()

    assert not Subscriber.objects.exists()


def test_an_update_that_is_refused_as_such_does_not_keep_the_next_one_back(
    page: StatusPage, alice: Any, there: Any
):
    report = make_report(page)
    subscribed(page, there)
    there.mood = "refusing"
    post(report, alice, "One.")
    send()
    there.mood = "good"
    post(report, alice, "Two.")
    send()

    assert len(there.requests) == 2


def test_a_lease_keeps_two_senders_apart_and_ends(page: StatusPage, alice: Any, there: Any):
    subscribed(page, there)
    post(make_report(page), alice)
    [(pk, lease)] = delivering.take_due(most=5)

    assert delivering.take_due(most=5) == []
    # The one that took it died: its lease ends.
    Receiver.objects.update(claimed_until=timezone.now() - MINUTE)
    assert [one for one, _ in delivering.take_due(most=5)] == [pk]
    assert lease


def test_a_page_of_before_is_not_told_again_and_a_member_sees_the_receiver(
    page: StatusPage, alice: Any, there: Any, client_of: Any
):
    post(make_report(page), alice)
    found = subscribed(page, there)
    assert send() == 0
    Receiver.objects.update(failing_since=NOW, last_error="It answered 503")

    text = client_of(alice).get("/o/nordhavn/status/subscribers/?q=127").content.decode()

    check_page(text)
    assert "Webhook at 127.0.0.1" in text
    assert "It answered 503" in text
    assert there.url not in text
    assert opened(found)["url"] == there.url


def test_the_collector_starts_the_loop(settings: Any):
    assert "apps.status_pages.sender.ReceiverSender" in settings.COLLECT_WITH
    assert ReceiverSender().most_threads == 8
