from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from celery import Celery

from apps.dataplane.local.home import Home
from apps.dataplane.local.machine.machine import PORTAL_PROGRAMS
from astro_portal import beat
from astro_portal.portal_programs import portal_programs


@pytest.fixture
def clock(settings: Any, tmp_path: Path, monkeypatch: Any) -> Celery:
    """Return the app of a clock that sends a job each 200 ms to a queue in memory. The process
    keeps such queues, so each test has its own.
    """
    settings.PORTAL_HOME = Home(tmp_path)
    settings.PORTAL_HOME.run.mkdir()
    app = Celery("clock", broker="memory://", fixups=[], set_as_current=False)
    app.conf.task_default_queue = str(tmp_path)
    job = {"task": "a.job", "schedule": timedelta(milliseconds=200)}
    app.conf.beat_schedule = {"a job": job}
    monkeypatch.setattr(beat, "app", app)
    return app


def _next_job(app: Celery) -> str:
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(app.conf.task_default_queue).get(timeout=5)
        message.ack()
        return str(message.headers["task"])


def _ticking(stop: Event) -> Thread:
    thread = Thread(target=beat.Clock().run, kwargs={"stop": stop})
    thread.start()
    return thread


def test_a_clock_in_a_thread_sends_what_is_due_and_stops(clock: Celery) -> None:
    stop = Event()
    thread = _ticking(stop)
    try:
        assert _next_job(clock) == "a.job"
    finally:
        stop.set()
        thread.join(5)

    assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_clock_that_fails_is_started_again(clock: Celery, monkeypatch: Any) -> None:
    started: list[int] = []
    start = beat.Service.start

    def fail_once(service: beat.Service) -> None:
        started.append(1)
        if len(started) == 1:
            raise OSError("The file of the clock cannot be written.")
        start(service)

    monkeypatch.setattr(beat.Service, "start", fail_once)
    stop = Event()
    thread = _ticking(stop)
    try:
        assert _next_job(clock) == "a.job"
    finally:
        stop.set()
        thread.join(5)

    assert len(started) == 2


def test_on_one_machine_the_clock_is_no_process_of_its_own(tmp_path: Path) -> None:
    programs = portal_programs(Home(tmp_path), host="127.0.0.1", port=1)

    assert {program.name for program in programs} == set(PORTAL_PROGRAMS)
    assert [program.name for program in programs if "--with-clock" in program.command] == [
        "collect"
    ]
    assert len(programs) == 3
