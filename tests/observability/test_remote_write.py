"""Remote write: what is sent, to whom, and what becomes of failures."""

import os
import struct
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.deployments.models import Deployment
from apps.observability.history import storage
from apps.observability.history.models import Sample
from apps.observability.history.storage import Gauges, SeriesIds
from apps.observability.remote_write import sending, services
from apps.observability.remote_write.encoding import LITERAL_BYTES, snappy_of
from apps.observability.remote_write.models import Receiver
from apps.observability.remote_write.reading import news_of
from apps.observability.remote_write.services import Access
from apps.organizations.models import Organization
from tests.alerts.receivers import Receiver as Server
from tests.alerts.receivers import receiver as http_receiver
from tests.core.pages import check_page
from tests.observability.test_prometheus import PROMETHEUS, answered, free_port

ClientOf = Callable[[User], Client]
URL = "/o/nordhavn/remote-write/"
SECRET = "a-secret-of-the-receiver"  # noqa: S105 - of a test
# Half minutes are what is counted: which of them a point is in must not depend on the second.
NOW = timezone.now().replace(second=10, microsecond=0)
Decoded = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.ALERT_NETWORKS, settings.ALERTS_ALLOW_HTTP = ("127.0.0.0/8",), True


@pytest.fixture
def server() -> Iterator[Server]:
    with http_receiver() as found:
        yield found


def put(deployment: Deployment, *ages: int, queue: str = "default", now: datetime = NOW) -> None:
    gauges = [
        Gauges(
            deployment_id=deployment.pk,
            at=now - timedelta(seconds=age),
            values={("queued", queue): float(age), ("cpu_millis", "scheduler"): 250.0},
        )
        for age in ages
    ]
    storage.write_samples(gauges=gauges, ids=SeriesIds())


def choose(actor: User, url: str, **access: str) -> Receiver:
    return services.save_receiver(
        actor=actor,
        organization=Organization.objects.get(slug="nordhavn"),
        entered=Access(url=url, **access),
    )


def send(receiver: Receiver, *, now: datetime = NOW) -> Receiver:
    sending.send(receiver, now=now, deadline=monotonic() + 20)
    receiver.refresh_from_db()
    return receiver


# ---------- A decoder of its own ----------


def unsnapped(block: bytes) -> bytes:
    size, at = varint(block, 0)
    found = b""
    while at < len(block):
        assert block[at] == 61 << 2
        length = struct.unpack_from("<H", block, at + 1)[0] + 1
        found += block[at + 3 : at + 3 + length]
        at += 3 + length
    assert len(found) == size
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 128:
            return number, at


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 1:
            value: Any = struct.unpack_from("<d", data, at)[0]
            at += 8
        else:
            value, at = varint(data, at)
            if tag & 7 == 2:
                value, at = data[at : at + value], at + value
        yield tag >> 3, value


def decoded(body: bytes) -> Decoded:
    found: Decoded = {}
    for _, series in fields(unsnapped(body)):
        parts = list(fields(series))
        pairs = [dict(fields(part)) for field, part in parts if field == 1]
        labels = [(one[1].decode(), one[2].decode()) for one in pairs]
        assert labels == sorted(labels)
        samples = [dict(fields(part)) for field, part in parts if field == 2]
        found[tuple(labels)] = [(one[2], one[1]) for one in samples]
    return found


def samples_of(found: Decoded, name: str, **labels: str) -> list[tuple[int, float]]:
    wanted = {"__name__": name, **labels}.items()
    [samples] = [samples for key, samples in found.items() if wanted <= dict(key).items()]
    return samples


# ---------- What is sent ----------


def test_a_receiver_gets_what_is_new_once_with_its_own_times(
    alice: User, deployment: Deployment, server: Server
) -> None:
    put(deployment, 3000, 95, 65, queue='bulk "ñ"')
    receiver = choose(alice, server.url, user="portal", secret=SECRET)
    receiver.sent_until = int((NOW - timedelta(seconds=120)).timestamp()) // 30

    sent = send(receiver)

    path, headers, body = server.requests[0]
    assert path == "/in"
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "snappy"
    assert headers["x-prometheus-remote-write-version"] == "0.1.0"
    pair = b64encode(f"portal:{SECRET}".encode()).decode()
    assert headers["authorization"] == f"Basic {pair}"
    found = decoded(body)
    times = [round((NOW - timedelta(seconds=age)).timestamp() * 1000) for age in (95, 65)]
    queued = samples_of(found, "astro_portal_tasks_queued", queue='bulk "ñ"')
    assert [value for _, value in queued] == [95.0, 65.0]
    assert all(abs(at - time) <= 2 for (at, _), time in zip(queued, times, strict=True))
    cpu = samples_of(found, "astro_portal_cpu_cores", deployment=deployment.ref)
    assert [value for _, value in cpu] == [0.25, 0.25]
    assert len(samples_of(found, "astro_portal_deployment_healthy")) == 1
    assert not any("sampled_second" in value for key in found for _, value in key)
    assert (sent.failures, sent.last_error, sent.sent_at) == (0, "", NOW)

    later = NOW + timedelta(seconds=30)
    put(deployment, 65, now=later)
    send(sent, now=later)

    again = decoded(server.requests[1][2])
    assert [value for _, value in samples_of(again, "astro_portal_tasks_queued")] == [65.0]


def test_an_organization_is_told_nothing_of_another_and_the_past_in_pieces(
    alice: User,
    deployment: Deployment,
    server: Server,
    django_assert_max_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(deployment, *range(65, 1800, 30))
    stranger = Organization.objects.create(name="Elsewhere", slug="elsewhere")
    receiver = choose(alice, server.url, secret=SECRET)
    receiver.sent_until = 1

    news = news_of(organization_id=stranger.pk, sent_until=None, now=NOW)
    send(receiver)

    assert news.series == []
    assert server.requests[0][1]["authorization"] == f"Bearer {SECRET}"
    bodies = [decoded(body) for _, _, body in server.requests if body != b"\x00"]
    values = [
        value
        for found in bodies
        for key, samples in found.items()
        if ("__name__", "astro_portal_tasks_queued") in key
        for _, value in samples
    ]
    assert values == sorted(map(float, range(65, 1800, 30)), reverse=True)
    with django_assert_max_num_queries(10):
        news_of(organization_id=receiver.pk, sent_until=None, now=NOW)


def test_literals_of_any_length_are_a_block_of_snappy() -> None:
    for size in (0, 1, LITERAL_BYTES, LITERAL_BYTES + 1, 200_000):
        data = os.urandom(size)
        assert unsnapped(snappy_of(data)) == data


# ---------- What goes wrong ----------


@pytest.mark.parametrize(
    ("mood", "reason", "is_given_up"),
    [
        ("failing", "It answered 503", False),
        ("refusing", "It answered 400 no such field", True),
        ("redirect", "redirect", False),
        ("vanishing", "", False),
    ],
)
def test_what_was_not_taken_is_sent_again_unless_it_is_refused(
    mood: str, reason: str, is_given_up: bool, alice: User, deployment: Deployment, server: Server
) -> None:
    put(deployment, 65)
    receiver = choose(alice, server.url, secret=SECRET)
    server.mood = mood

    failed = send(receiver)

    assert reason in failed.last_error
    assert "<script>" not in failed.last_error or "\x1b" not in failed.last_error
    assert (failed.failures, failed.failing_since) == (1, NOW)
    assert failed.next_at > NOW + timedelta(seconds=29)
    assert (failed.sent_until is not None) == is_given_up
    server.mood = "good"
    server.requests.clear()
    assert send(failed).failing_since is None
    assert len(server.requests) == 1


def test_an_address_that_the_portal_must_not_reach_is_not_reached(
    alice: User, deployment: Deployment, server: Server, settings: Any
) -> None:
    settings.ALERT_NETWORKS = ()
    put(deployment, 65)

    failed = send(choose(alice, server.url))

    assert server.requests == []
    assert "PORTAL_ALERT_NETWORKS" in failed.last_error


def test_a_due_receiver_is_taken_by_one_worker(
    alice: User, deployment: Deployment, server: Server
) -> None:
    put(deployment, 65, now=timezone.now())
    choose(alice, server.url)

    assert sending._take() is not None
    assert sending._take() is None
    Receiver.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    assert sending.send_due() == 1
    assert sending.send_due() == 0
    assert len(server.requests) == 1


def test_a_receiver_whose_key_was_lost_says_so(
    alice: User, deployment: Deployment, server: Server
) -> None:
    receiver = choose(alice, server.url)
    receiver.sealed = b"nothing that can be opened"
    receiver.save(update_fields=["sealed"])

    assert send(receiver).last_error == sending.LOST_KEY
    assert server.requests == []


# ---------- The page ----------


def test_whoever_edits_the_organization_chooses_a_receiver_and_its_secret_is_never_shown(
    alice: User, bob: User, charlie: User, deployment: Deployment, client_of: ClientOf
) -> None:
    client = client_of(alice)
    entered = {"url": "https://prom.example.org/api/v1/write", "user": "u", "secret": SECRET}

    assert client.post(URL, entered).status_code == 302

    page = client.get(URL).content.decode()
    check_page(page)
    assert "prom.example.org" in page
    assert SECRET not in page
    assert "/api/v1/write" not in page
    assert SECRET not in str(list(AuditEvent.objects.values()))
    assert client.post(URL, {"user": "u"}).status_code == 302
    assert services.access_of(Receiver.objects.get()) == Access(**entered)
    elsewhere = {"url": "https://evil.example.org/", "user": "u"}
    assert "Enter the password." in client.post(URL, elsewhere).content.decode()
    assert client.post(URL, {"url": "https://evil.example.org/"}).status_code == 302
    assert services.access_of(Receiver.objects.get()) == Access(url="https://evil.example.org/")
    assert client.post(f"{URL}remove/").status_code == 302
    assert not Receiver.objects.exists()
    assert client.post(f"{URL}remove/").status_code == 302, "twice is once"
    actions = [event.action for event in AuditEvent.objects.filter(action__startswith="remote")]
    assert set(actions) == {"remote_write.saved", "remote_write.removed"}
    assert client_of(bob).get(URL).status_code == 403
    assert client_of(charlie).get(URL).status_code == 404


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x.example.org/", "https://", "https://u:p@x.example.org/", "https://x:99999/", "x"],
)
def test_an_address_of_no_use_is_refused(
    url: str, alice: User, deployment: Deployment, client_of: ClientOf
) -> None:
    response = client_of(alice).post(URL, {"url": url})

    check_page(response.content.decode())
    assert response.status_code == 422
    assert not Receiver.objects.exists()


def test_sending_costs_the_same_queries_whatever_there_is(
    alice: User, deployment: Deployment, server: Server, make_deployment: Callable[..., Deployment]
) -> None:
    put(deployment, 65)
    receiver = choose(alice, server.url)
    with CaptureQueriesContext(connection) as few:
        send(receiver)
    Sample.objects.all().delete()
    put(deployment, 65)
    for _ in range(5):
        put(make_deployment(), 65)
    receiver.sent_until = None

    with CaptureQueriesContext(connection) as many:
        send(receiver)

    assert len(many) == len(few)


# ---------- A real one ----------


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
def test_a_real_prometheus_takes_what_is_sent(
    alice: User, deployment: Deployment, tmp_path: Path
) -> None:
    now = timezone.now()
    put(deployment, 95, 65, queue='bulk "quoted" \\ ñ', now=now)
    with prometheus(tmp_path) as port:
        receiver = choose(alice, f"http://127.0.0.1:{port}/api/v1/write")
        receiver.sent_until = int((now - timedelta(seconds=300)).timestamp()) // 30
        answered(port, "vector(1)", tmp_path / "log")

        sent = send(receiver, now=now)

        assert sent.last_error == ""
        [queued] = answered(port, "astro_portal_tasks_queued", tmp_path / "log")
        counted = answered(port, "count_over_time(astro_portal_tasks_queued[5m])", tmp_path / "log")
    assert queued["metric"]["queue"] == 'bulk "quoted" \\ ñ'
    assert queued["metric"]["deployment"] == deployment.ref
    assert queued["value"][1] == "65"
    assert counted[0]["value"][1] == "2"


@contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """Run a Prometheus that takes remote writes; yield its port."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                str(PROMETHEUS),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-remote-write-receiver",
            ],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)
