from types import SimpleNamespace

import pytest

from astro_portal import celery as jobs


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time stand still at 100 seconds; when the connection was looked at is kept."""
    seen: list[float] = []
    monkeypatch.setattr(jobs, "_checked_at", 0.0)
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr(jobs, "close_old_connections", lambda: seen.append(jobs.time.monotonic()))
    return seen


def test_jobs_close_upon_each_other_look_at_the_connection_once(checks: list[float]) -> None:
    for _ in range(3):
        jobs.check_connections()

    assert checks == [100.0]


def test_a_second_later_it_is_looked_at_again(
    checks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.check_connections()
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: 101.0))
    jobs.check_connections()

    assert checks == [100.0, 101.0]


def test_after_a_job_that_failed_it_is_looked_at_at_once(checks: list[float]) -> None:
    jobs.check_connections()
    jobs.task_failure.send(sender=None)
    jobs.check_connections()

    assert checks == [100.0, 100.0]
