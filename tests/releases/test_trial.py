"""The trial of a release on a data plane in memory: steps, interruptions, failures, pages."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.dataplane.errors import Permanent, Temporary
from apps.dataplane.fake.plane import FakePlane
from apps.dataplane.status import AirflowResponse
from apps.deployments.models import Deployment
from apps.organizations.models import Organization, Workspace
from apps.releases import shelf, trial
from apps.releases.models import Release, ReleaseState
from apps.runtimes.catalogue import offered_runtimes, runtimes

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


class SmallAirflow:
    """Runs that succeed at once, unless `fails` names their DAG."""

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.fails = ""

    def __call__(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> AirflowResponse:
        if path.endswith("/connections"):
            return AirflowResponse(status=403, data=None)
        if method == "POST" and body:
            self.runs.add(f"{path}/{body['dag_run_id']}")
        if "/dagRuns/" in path:
            state = "failed" if self.fails and self.fails in path else "success"
            status = 200 if path in self.runs else 404
            return AirflowResponse(status=status, data={"state": state})
        return AirflowResponse(status=200, data={})


@pytest.fixture
def airflow(plane: type[FakePlane], settings: Any) -> SmallAirflow:
    plane.store.respond = airflow = SmallAirflow()
    return airflow


@pytest.fixture
def release(airflow: SmallAirflow) -> Release:
    return Release.objects.create(
        airflow_version="3.9.0", published_at=NOW - timedelta(minutes=40), found_at=NOW
    )


def run_all(turns: int = 3) -> Release:
    for _ in range(turns):
        found = trial.turn(now=datetime.now(UTC), seconds=5)
        if found is None or found.state not in ("found", "testing"):
            break
    return Release.objects.get()


def test_a_release_that_passes_is_offered_with_nobody_there(
    release: Release, plane: type[FakePlane]
) -> None:
    found = run_all()

    assert (found.state, found.failure) == (ReleaseState.TESTED, "")
    assert [step["state"] for step in found.steps] == ["done"] * len(trial.STEPS)
    assert found.previous == offered_runtimes(today=NOW.date())[1].version
    newest = runtimes()[0]
    assert (newest.version, newest.source) == ("3.9.0-1", "tested")
    assert newest.lock_path.read_text() == found.lock
    assert not plane.store.airflows, "it left an Airflow behind"
    assert trial.turn(now=NOW) is None


def test_what_fails_is_offered_to_nobody_and_leaves_nothing(
    release: Release, airflow: SmallAirflow, plane: type[FakePlane]
) -> None:
    airflow.fails = "scaling_demo/dagRuns/trial-local"

    found = run_all()

    assert found.state == ReleaseState.FAILED
    assert found.failure == "The example DAG scaling_demo failed."
    assert {step["key"] for step in found.steps if step["state"] == "failed"} == {"local"}
    assert "3.9.0-1" not in {one.version for one in runtimes()}
    assert not plane.store.airflows
    airflow.fails = ""
    assert trial.try_again(found)
    assert not trial.try_again(found)
    assert run_all().state == ReleaseState.TESTED


def test_packages_that_do_not_fit_end_the_trial_and_an_index_that_is_away_does_not(
    release: Release, plane: type[FakePlane]
) -> None:
    plane.store.fail("lock_runtime", Temporary("The package index does not answer."))
    trial.turn(now=NOW, seconds=0.001)
    plane.store.fail("lock_runtime", Permanent("They do not fit.", log=("a", "b")))

    found = run_all()

    assert (found.failure, found.log) == ("They do not fit.", ["a", "b"])


def test_a_killed_worker_is_followed_by_another_and_only_one_works_at_a_time(
    release: Release, plane: type[FakePlane]
) -> None:
    first = trial._claim(NOW)
    assert first
    assert first.step == "lock"
    assert trial._claim(NOW) is None
    Release.objects.create(airflow_version="3.9.1", published_at=NOW)
    assert trial._claim(NOW) is None, "a second release waits for the first"

    later = NOW + trial.LEASE + timedelta(seconds=1)

    again = trial._claim(later)
    assert again
    assert again.pk == first.pk
    assert again.began_at == first.began_at


def test_a_step_that_never_ends_is_a_failure(release: Release, plane: type[FakePlane]) -> None:
    plane.store.never_healthy.add("trial-3-9-0-new")
    trial.turn(now=NOW, seconds=0.2)
    assert Release.objects.get().step == "start"
    Release.objects.update(step_began_at=NOW - trial.STEP_ALLOWED - timedelta(seconds=1))

    found = run_all()

    assert found.state == ReleaseState.FAILED
    assert found.failure.startswith("It did not end within 30 minutes.")


def test_everybody_of_the_organization_reads_the_page_and_only_operators_act(
    release: Release,
    alice: User,
    bob: User,
    charlie: User,
    organization: Organization,
    deployment: Deployment,
    client_of: Callable[[User], Client],
) -> None:
    page = reverse("releases:runtimes", args=[organization.slug])
    report = reverse("releases:report", args=[organization.slug, "3.9.0"])
    again = reverse("releases:try_again", args=["3.9.0"])
    content = client_of(bob).get(page).content.decode()
    assert "1 Deployment on 1 version." in content
    assert "Recommended" in content
    assert "Not offered" in content
    assert "Check for releases" not in content
    assert client_of(charlie).get(page).status_code == 404
    assert client_of(alice).post(again).status_code == 404
    Release.objects.update(
        state="failed",
        failure="<b>It hangs.</b>",
        steps=[{"key": "lock", "state": "failed", "detail": "x", "seconds": 3}],
        log=["<script>"],
    )
    content = client_of(bob).get(report).content.decode()
    assert "&lt;b&gt;It hangs.&lt;/b&gt;" in content
    assert "&lt;script&gt;" in content
    User.objects.filter(pk=alice.pk).update(is_operator=True)
    alice.refresh_from_db()
    assert b"Test again" in client_of(alice).get(report).content
    assert client_of(alice).post(again, {"organization": "nordhavn"})["Location"] == page
    assert client_of(alice).get(report.replace("3.9.0", "9")).status_code == 404
    Release.objects.update(published_at=datetime.now(UTC) - timedelta(minutes=40))
    run_all()
    content = client_of(bob).get(page).content.decode()
    assert "Tested here" in content
    assert "offered 0.7 h later" in content
    days = (NOW.date() - offered_runtimes(today=NOW.date())[-1].released).days
    assert f"{days} days ago" in content


def test_the_page_names_known_vulnerabilities_and_says_where_none_were_looked_for(
    bob: User,
    workspace: Workspace,
    client_of: Callable[[User], Client],
    tmp_path: Path,
    settings: Any,
) -> None:
    page = reverse("releases:runtimes", args=[workspace.organization.slug])
    client, path = client_of(bob), tmp_path / "osv.json"
    settings.OSV_FILE = str(path)
    record = {"id": "PYSEC-7", "summary": "<b>Escapes.</b>", "affected": [{"ranges": []}]}
    everywhere = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}
    package = {"ecosystem": "PyPI", "name": "jinja2"}
    record["affected"] = [{"package": package, "ranges": [everywhere]}]

    for text, words, others in (
        (json.dumps([record]), ("1 known", "PYSEC-7", "&lt;b&gt;Escapes."), ("not checked",)),
        ("[]", ("none known",), ("not checked", "PYSEC-7")),
        ("{", ("not checked",), ("none known",)),
    ):
        path.write_text(text)
        content = client.get(page).content.decode()
        assert [one for one in words if one not in content] == []
        assert [one for one in others if one in content] == []


def test_the_page_takes_the_same_queries_for_any_number(
    alice: User, organization: Organization, client_of: Callable[[User], Client]
) -> None:
    client, page = client_of(alice), reverse("releases:runtimes", args=[organization.slug])

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        return len(queries)

    count()
    before = count()
    Release.objects.bulk_create(
        Release(airflow_version=f"3.9.{n}", published_at=NOW, state="tested", ended_at=NOW)
        for n in range(30)
    )
    shelf.write()

    assert count() == before
