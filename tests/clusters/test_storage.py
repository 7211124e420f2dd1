"""The storage of a cluster is tested from its page: by a worker, while the page looks again."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.audit.models import AuditEvent
from apps.clusters.connections import storage
from apps.clusters.connections.storage import request_storage_test, run_storage_test
from apps.clusters.models import Cluster
from apps.core.errors import Conflict, Invalid
from apps.dataplane.errors import Unreachable
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import Finding

pytestmark = pytest.mark.django_db
FOUND = Finding(
    title="Storage of logs and code", is_ok=False, detail="<b>denied\x1b", remedy="Ask."
)


@pytest.fixture
def sent(monkeypatch: Any) -> list[Any]:
    """What was sent to workers."""
    messages: list[Any] = []

    class Signature:
        def apply_async(self, *, args: list[Any], queue: str, retry: bool) -> None:
            messages.append(args)

    monkeypatch.setattr(storage.current_app, "signature", lambda _name: Signature())
    return messages


def address(cluster: Cluster) -> str:
    return f"/o/nordhavn/clusters/{cluster.pk}/storage/"


def test_an_owner_tests_the_storage_and_the_page_shows_what_was_found(
    alice: Any, client_of: Any, remote: Cluster, sent: list[Any]
) -> None:
    FakePlane.store.storage = (FOUND,)
    browser = client_of(alice)

    page = browser.post(address(remote), headers={"HX-Request": "true"}).content.decode()
    assert 'hx-trigger="every 3s"' in page
    assert "Test storage" not in page
    [[cluster_id, asked_at]] = sent
    run_storage_test(cluster_id=cluster_id, asked_at=asked_at, now=timezone.now())
    page = browser.get(address(remote), headers={"HX-Request": "true"}).content.decode()

    assert "every 3s" not in page
    assert "&lt;b&gt;denied " in page
    assert "Ask." in page
    whole = browser.get(f"/o/nordhavn/clusters/{remote.pk}/").content.decode()
    assert "&lt;b&gt;denied " in whole
    assert AuditEvent.objects.filter(action="cluster.storage_tested").count() == 1


def test_without_a_script_the_page_itself_answers(
    alice: Any, client_of: Any, remote: Cluster, sent: list[Any]
) -> None:
    page = client_of(alice).post(address(remote), follow=True)

    assert "This takes up to three minutes." in page.content.decode()


def test_only_who_manages_clusters_may_start_it(
    bob: Any, charlie: Any, client_of: Any, remote: Cluster, sent: list[Any]
) -> None:
    page = client_of(bob).get(address(remote), headers={"HX-Request": "true"})

    assert b"Test storage" not in page.content
    assert client_of(bob).post(address(remote)).status_code == 403
    assert client_of(charlie).post(address(remote)).status_code == 404
    assert sent == []


def test_one_runs_at_a_time_and_a_lost_one_is_said(
    alice: Any, client_of: Any, remote: Cluster, sent: list[Any]
) -> None:
    now = timezone.now()
    request_storage_test(actor=alice, cluster=remote, now=now - timedelta(minutes=6))
    page = client_of(alice).get(address(remote), headers={"HX-Request": "true"}).content.decode()
    assert "The last test did not end." in page

    request_storage_test(actor=alice, cluster=remote, now=now)
    with pytest.raises(Conflict):
        request_storage_test(actor=alice, cluster=remote, now=now)
    assert len(sent) == 2
    # What arrives late does not count any more, nor twice.
    FakePlane.store.storage = (FOUND,)
    run_storage_test(cluster_id=remote.pk, asked_at=sent[0][1], now=now)
    remote.refresh_from_db()
    assert "ended_at" not in remote.storage_test
    run_storage_test(cluster_id=remote.pk, asked_at=sent[1][1], now=now)
    run_storage_test(cluster_id=remote.pk, asked_at=sent[1][1], now=now)
    assert FakePlane.store.calls.count(("try_storage", "")) == 1


def test_a_broker_or_a_cluster_that_is_away_is_said(
    alice: Any, remote: Cluster, monkeypatch: Any, sent: list[Any]
) -> None:
    now = timezone.now()
    request_storage_test(actor=alice, cluster=remote, now=now)
    FakePlane.store.fail("try_storage", Unreachable("It does not answer."))
    run_storage_test(cluster_id=remote.pk, asked_at=sent[0][1], now=now)
    remote.refresh_from_db()
    assert remote.storage_test["findings"][0]["detail"] == "It does not answer."

    class Broken:
        def apply_async(self, **_: Any) -> None:
            raise OperationalError

    monkeypatch.setattr(storage.current_app, "signature", lambda _name: Broken())
    request_storage_test(actor=alice, cluster=remote, now=now)
    remote.refresh_from_db()
    assert "message broker does not answer" in remote.storage_test["findings"][0]["detail"]


def test_this_machine_has_no_volumes_to_test(alice: Any, client_of: Any, cluster: Cluster) -> None:
    assert client_of(alice).post(address(cluster)).status_code == 404
    with pytest.raises(Invalid):
        request_storage_test(actor=alice, cluster=cluster, now=timezone.now())
