"""The pages, as the people who use them."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.organizations.models import Organization, Workspace
from apps.webhooks.deliveries.models import WebhookDelivery
from apps.webhooks.hooks.models import Webhook
from apps.webhooks.hooks.secrets import opened
from tests.core.pages import check_page
from tests.webhooks.examples import make_webhook

pytestmark = pytest.mark.django_db
HERE = "/w/warehouse/webhooks/"
URL = "https://events.example.org/hooks/very-secret-path"
FORM = {"name": "Warehouse", "url": URL, "topics": ["deploys", "tokens"]}


@pytest.fixture
def client(alice: User, client_of: Callable[[User], Client]) -> Client:
    return client_of(alice)


@pytest.fixture
def hook(workspace: Workspace, alice: User) -> Webhook:
    return make_webhook(workspace, alice, url=URL)


def deliveries(hook: Webhook, count: int) -> None:
    now = timezone.now()
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            webhook=hook,
            sequence=number,
            event=f"evt_{number}",
            type="deploy.failed",
            body={"deployment": {"name": "<b>etl</b>"}},
            give_up_at=now,
            state="failed" if number % 2 else "waiting",
            answer="It answered 503 <script>",
        )
        for number in range(1, count + 1)
    )


def page(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    text = response.content.decode()
    check_page(text)
    return text


def test_a_webhook_is_made_and_its_secret_is_shown_once(client: Client, workspace: Workspace):
    assert "No webhooks yet" in page(client, HERE)
    page(client, f"{HERE}new/")

    made = client.post(f"{HERE}new/", FORM)

    hook = Webhook.objects.get()
    secret = opened(hook)["secret"]
    text = made.content.decode()
    check_page(text)
    assert secret in text
    assert "no-store" in made.headers["Cache-Control"]
    shown = page(client, HERE) + page(client, f"{HERE}{hook.pk}/")
    assert "events.example.org" in shown
    assert "very-secret-path" not in shown
    assert secret not in shown
    assert secret not in str(list(AuditEvent.objects.values()))
    assert (hook.workspace, hook.topics) == (workspace, ["deploys", "tokens"])


def test_what_is_wrong_is_said_at_its_field(client: Client, hook: Webhook):
    wrong = {
        "url": ("http://events.example.org", "Enter an address that begins with https://"),
        "topics": ([], "Choose at least one kind of events."),
        "name": (hook.name, "here already"),
    }
    for field, (value, said) in wrong.items():
        response = client.post(f"{HERE}new/", {**FORM, field: value})
        assert response.status_code == 422
        check_page(response.content.decode())
        assert said in response.content.decode()
    assert Webhook.objects.count() == 1


def test_a_webhook_is_changed_rotated_and_deleted(client: Client, hook: Webhook):
    here = f"{HERE}{hook.pk}/"
    before = opened(hook)

    saved = client.post(here, {"name": "Other name", "topics": ["health"], "url": ""})
    assert saved.status_code == 302
    hook.refresh_from_db()
    assert (hook.name, hook.topics, hook.is_enabled) == ("Other name", ["health"], False)
    assert opened(hook) == before
    rotated = client.post(f"{here}rotate/").content.decode()
    hook.refresh_from_db()
    assert opened(hook)["secret"] in rotated
    assert "End the secret before now" in page(client, here)
    assert client.post(f"{here}end-secret/").status_code == 302
    assert "Rotate secret" in page(client, here)
    assert "What waits and the log" in page(client, f"{here}delete/")
    assert client.post(f"{here}delete/").status_code == 302
    assert not Webhook.objects.exists()


def test_the_log_is_filtered_and_an_event_is_sent_again(client: Client, hook: Webhook):
    deliveries(hook, 3)
    here = f"{HERE}{hook.pk}/"

    text = page(client, here)

    assert "&lt;b&gt;etl&lt;/b&gt;" in text
    assert "<script>" not in text.split("<main")[1].split("</main>")[0]
    assert "evt_2" in text
    assert "evt_2" not in page(client, f"{here}?state=failed")
    assert "No matching deliveries" in page(client, f"{here}?state=delivered")
    first = hook.deliveries.get(sequence=1)
    assert client.post(f"{here}deliveries/1/resend/").status_code == 302
    first.refresh_from_db()
    assert first.state == "waiting"
    refused = client.post(f"{here}deliveries/1/resend/", follow=True)
    assert "This event waits to be sent already." in refused.content.decode()


def test_a_test_says_what_came_of_it(client: Client, hook: Webhook):
    Webhook.objects.update(sealed=b"unreadable")

    said = client.post(f"{HERE}{hook.pk}/test/", follow=True).content.decode()

    assert "The test did not reach" in said
    assert "Rotate the secret and enter the address again." in said


def test_others_are_refused_and_learn_nothing(
    hook: Webhook,
    organization: Organization,
    alice: User,
    bob: User,
    charlie: User,
    client_of: Callable[[User], Client],
):
    above = make_webhook(organization, alice)

    assert client_of(bob).get(f"{HERE}{hook.pk}/").status_code == 403
    assert client_of(charlie).get(f"{HERE}{hook.pk}/").status_code == 404
    for foreign in (f"{HERE}{above.pk}/", f"/o/nordhavn/webhooks/{hook.pk}/"):
        assert client_of(alice).get(foreign).status_code == 404


def test_the_pages_ask_few_questions_however_much_there_is(
    client: Client,
    workspace: Workspace,
    alice: User,
    hook: Webhook,
    django_assert_max_num_queries: Callable[..., object],
):
    for number in range(20):
        make_webhook(workspace, alice, name=f"Webhook {number}")
    deliveries(hook, 60)
    client.get(HERE)

    with django_assert_max_num_queries(12):
        client.get(HERE)
    with django_assert_max_num_queries(14):
        client.get(f"{HERE}{hook.pk}/")
