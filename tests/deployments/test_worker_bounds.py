"""What bounds a process of a worker, and how a job fails that needs more."""

import resource
import weakref
from typing import Any

import pytest

from apps.deployments import tasks
from apps.deployments.reconciling import lifecycle, reconciler
from astro_portal import celery


class Large:
    """Stands for what a job held when memory was gone."""


def test_a_job_that_runs_out_of_memory_fails_alone_and_gives_back_what_it_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[Any] = []

    def take_all(**_: Any) -> None:
        large = Large()
        held.append(weakref.ref(large))
        raise MemoryError

    monkeypatch.setattr(reconciler, "reconcile", take_all)

    with pytest.raises(celery.OutOfMemory, match="512 MB were not enough") as raised:
        tasks.reconcile(1)

    assert isinstance(raised.value.__cause__, MemoryError)
    assert held[0]() is None


@pytest.mark.parametrize(
    ("most_mb", "bound_mb"), [(resource.RLIM_INFINITY, 512), (2048, 512), (300, 300)]
)
def test_a_process_gets_no_more_than_the_setting_or_what_the_system_allows(
    most_mb: int, bound_mb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = most_mb if most_mb == resource.RLIM_INFINITY else most_mb * 2**20
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))
    monkeypatch.setattr(resource, "setrlimit", lambda *given: limits.append(given))

    celery.bound_memory()

    assert limits == [(resource.RLIMIT_DATA, (bound_mb * 2**20, most))]


def test_a_pass_is_asked_to_end_then_killed_before_its_lease_ends(settings: Any) -> None:
    soft, hard = settings.CELERY_TASK_SOFT_TIME_LIMIT, settings.CELERY_TASK_TIME_LIMIT

    assert soft < hard < lifecycle.LEASE_SECONDS
