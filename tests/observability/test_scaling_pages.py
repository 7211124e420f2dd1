import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.dataplane.spec import WorkerQueue
from apps.deployments.models import Deployment
from apps.observability.analytics.ranges import Range
from apps.observability.history.decisions import (
    LastDecisions,
    forget_decisions,
    write_decisions,
)
from apps.observability.history.models import RecordedDecision
from apps.observability.scaling.pages import replay_of
from tests.core.pages import check_page
from tests.observability.example_scaling import put_recording, recorded_decisions

ClientOf = Callable[[User], Client]
URL = "/d/etl-prod-7f3c/scaling/"
REPLAY = f"{URL}replay/"
ASKED = "range=1h&min_workers=4&max_workers=5&concurrency=3&cooldown_seconds=90"
EVIL = "<script>alert(1)</script>"


def value_of(name: str, page: str) -> str:
    found = re.search(rf'name="{name}"\s+value="([^"]*)"', page)
    assert found
    return found[1]


@pytest.fixture
def scaled(deployment: Deployment) -> Deployment:
    put_recording(deployment, now=timezone.now())
    return deployment


@pytest.mark.parametrize("second", [0.0, 7.5, 15.0, 29.0, 29.69, 29.7, 29.99])
def test_a_replay_is_as_near_wherever_in_a_half_minute_samples_are_taken(
    second: float, deployment: Deployment
):
    now = datetime.fromtimestamp(timezone.now().timestamp() // 30 * 30 + second - 30, UTC)
    put_recording(deployment, now=now)

    found = replay_of(
        deployment=deployment,
        queue=WorkerQueue(name="default", concurrency=2, min_workers=0, max_workers=3),
        shown=Range(key="", begin=now - timedelta(hours=1), end=now, now=timezone.now()),
        asked=None,
        most_workers=10,
    )

    assert found
    assert found.deviation is not None
    assert found.deviation < 0.05


def test_the_page_says_why_a_queue_scaled(alice: User, scaled: Deployment, client_of: ClientOf):
    page = client_of(alice).get(f"{URL}?range=1h").content.decode()

    check_page(page)
    for words in (
        "Why did the queue default scale?",
        "1 worker ran and 3 are wanted, so more were started.",
        "(12 queued + 0 running) / 2 per worker = 6 workers",
        "More are needed than the maximum of 3 allows.",
        "Those not needed stay for 1 min 30 s after they were needed last.",
        "Scaled down",
    ):
        assert words in page, words
    assert len(page) < 100_000


def test_the_charts_have_workers_beside_tasks(alice: User, scaled: Deployment, client_of: ClientOf):
    told = client_of(alice).get(f"{URL}points/?range=1h").json()

    workers, tasks = told["charts"]
    values = {line["label"]: line["values"] for line in workers["lines"]}
    assert [chart["key"] for chart in told["charts"]] == ["workers", "tasks"]
    assert max(value or 0 for value in values["Workers wanted"]) == 3
    assert max(value or 0 for value in values["Workers running or starting"]) == 3
    assert {value for value in values["Maximum"] if value} == {3}
    assert any(value for line in tasks["lines"] for value in line["values"])


def test_a_replay_stands_beside_what_was(alice: User, scaled: Deployment, client_of: ClientOf):
    client = client_of(alice)

    same = client.get(f"{REPLAY}?range=1h")
    more = client.get(f"{REPLAY}?{ASKED}")

    check_page(same.content.decode())
    check_page(more.content.decode())
    assert same.context["found"].deviation < 0.05
    assert "Use these settings" not in same.content.decode()
    told = more.context["found"]
    assert {value for value in told.outcome.workers.values if value} <= {4, 5}
    assert told.outcome.wait_seconds < told.control.wait_seconds
    assert told.outcome.worker_hours > told.control.worker_hours
    assert "Nothing changes before you review and apply it." in more.content.decode()
    points = client.get(f"{REPLAY}points/?{ASKED}").json()
    assert [chart["key"] for chart in points["charts"]] == ["replay-workers", "replay-queued"]


def test_the_settings_of_a_replay_fill_in_the_form(
    alice: User, scaled: Deployment, client_of: ClientOf
):
    client = client_of(alice)
    before = scaled.wanted_id

    use_url = client.get(f"{REPLAY}?{ASKED}").context["use_url"]
    form = client.get(use_url).content.decode()
    other = client.get(use_url.replace("queue=default", "queue=none")).content.decode()

    asked = parse_qs(urlsplit(use_url).query)
    assert asked == {
        "queue": ["default"],
        "concurrency": ["3"],
        "min_workers": ["4"],
        "max_workers": ["5"],
    }
    assert value_of("queues-0-max_workers", form) == "5"
    assert value_of("queues-0-concurrency", form) == "3"
    assert value_of("queues-0-concurrency", other) != "3"
    scaled.refresh_from_db()
    assert scaled.wanted_id == before


def test_who_may_not_change_settings_is_told_the_role(
    bob: User, charlie: User, scaled: Deployment, client_of: ClientOf
):
    page = client_of(bob).get(f"{REPLAY}?{ASKED}").content.decode()

    assert "Needs the role" in page
    assert "configure/?queue" not in page
    for address in (URL, f"{URL}points/", REPLAY, f"{REPLAY}points/"):
        assert client_of(charlie).get(address).status_code == 404
        assert Client().get(address).status_code == 302


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("min_workers=9", "Max workers is less than min workers."),
        ("max_workers=0", "greater than or equal to 1"),
        ("concurrency=x", "Enter a whole number"),
        ("cooldown_seconds=1e9", "Enter a whole number"),
        ("max_workers=100000", "less than or equal to 1000"),
    ],
)
def test_settings_that_are_none_are_explained(
    changes: str, said: str, alice: User, scaled: Deployment, client_of: ClientOf
):
    name = changes.partition("=")[0]
    kept = "&".join(part for part in ASKED.split("&") if not part.startswith(f"{name}="))

    response = client_of(alice).get(f"{REPLAY}?{kept}&{changes}")

    assert response.status_code == 422
    assert said in response.content.decode()


def test_without_knowledge_or_queues_both_pages_say_so(
    alice: User, deployment: Deployment, make_deployment: Any, client_of: ClientOf
):
    make_deployment(ref="tasks-in-pods", config={"executor": "local", "queues": []})
    client = client_of(alice)

    assert "Nothing is known of this queue" in client.get(URL).content.decode()
    assert "Nothing of this range can be replayed" in client.get(REPLAY).content.decode()
    assert client.get(f"{REPLAY}points/").json()["charts"] == []
    assert client.get(f"{URL}?queue=none").status_code == 404
    for page in ("scaling/", "scaling/replay/"):
        text = client.get(f"/d/tasks-in-pods/{page}").content.decode()
        check_page(text)
        assert "No worker queues" in text


def test_a_thousand_decisions_cost_no_more_statements(
    alice: User, scaled: Deployment, client_of: ClientOf
):
    client = client_of(alice)
    costs = []
    for _ in range(2):
        client.get(URL)
        for address in (URL, REPLAY):
            with CaptureQueriesContext(connection) as asked:
                client.get(address)
            costs.append(len(asked))
        start = timezone.now() - timedelta(hours=5)
        template = RecordedDecision.objects.filter(deployment=scaled).latest("at")
        RecordedDecision.objects.bulk_create(
            RecordedDecision(
                **{
                    name: getattr(template, name)
                    for name in (
                        *recorded_decisions(begin=0.0)[0].__dict__.keys() - {"at", "message"},
                    )
                },
                deployment=scaled,
                at=start + timedelta(seconds=number),
                message=EVIL,
            )
            for number in range(1000)
        )

    page = client.get(URL).content.decode()

    assert costs[:2] == costs[2:]
    assert max(costs) <= 20
    assert EVIL not in page
    check_page(client.get(f"{URL}?page=9").content.decode())
    assert len(client.get(URL, headers={"accept-encoding": "gzip"}).content) <= 20_000


def test_a_decision_that_says_nothing_new_is_not_written(deployment: Deployment):
    now, last = timezone.now(), LastDecisions()
    first, second, *_ = recorded_decisions(begin=now.timestamp() - 600)
    again = replace(first, at=first.at + timedelta(seconds=30), queued=7)
    ahead = replace(second, at=now + timedelta(hours=1))

    def write(*told: Any) -> int:
        return write_decisions(told={deployment.pk: told}, last=last, now=now)

    assert write(first, again) == 1
    assert write(first, again, second, ahead) == 1
    assert last.since(deployment.pk, now=now) == second.at
    last.forget()
    assert write(first, again, second) == 0
    assert RecordedDecision.objects.count() == 2


def test_old_decisions_are_forgotten(deployment: Deployment, monkeypatch: pytest.MonkeyPatch):
    now = timezone.now()
    put_recording(deployment, now=now)
    count = RecordedDecision.objects.count()
    old = RecordedDecision.objects.filter(reason="down")
    old.update(at=F("at") - timedelta(days=400))

    assert forget_decisions(now=now) == 4
    monkeypatch.setattr("apps.observability.history.decisions.MOST_KEPT", 5)
    assert forget_decisions(now=now) == count - 4 - 5
