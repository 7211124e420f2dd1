"""What an Airflow tells of its broker, asked of a real one."""

import importlib.util
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from apps.dataplane.kubernetes.render.pods.portal_files import RUNTIME_FOLDER

BROKER = "AIRFLOW__CELERY__BROKER_URL"
DAY = 86_400
Put = Callable[[str, bytes, int | None], None]


@pytest.fixture
def plugin() -> Any:
    path = RUNTIME_FOLDER / "plugins" / "portal_broker.py"
    spec = importlib.util.spec_from_file_location("portal_broker", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def put(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Write a result as Celery does, that is kept for some seconds more."""
    url, keys = settings.CACHES["default"]["LOCATION"], []
    monkeypatch.setenv(BROKER, url)
    with Redis.from_url(url) as broker:

        def write(celery_id: str, text: bytes, kept: int | None) -> None:
            keys.append(f"celery-task-meta-{celery_id}")
            broker.set(keys[-1], text, ex=kept)

        yield write
        broker.delete(*keys)


def test_what_workers_took_is_counted_with_its_age(plugin: Any, put: Put) -> None:
    put("new", b'{"status": "STARTED"}', DAY)
    put("old", b'{"status": "STARTED"}', DAY - 40)
    put("done", b'{"status": "SUCCESS"}', DAY - 900)
    put("rubbish", b"\xff\x00[", DAY - 900)
    put("list", b"[1]", DAY - 900)
    put("forever", b'{"status": "STARTED"}', None)

    found = plugin.broker_look(["new", "old", "done", "rubbish", "list", "forever", "none"])

    assert (found["is_reached"], found["taken"]) == (True, 2)
    assert 40 <= found["taken_seconds"] <= 45
    nothing = {"is_reached": True, "taken": 0, "taken_seconds": None}
    assert plugin.broker_look([]) == plugin.broker_look(["none"]) == nothing


def test_a_broker_that_is_silent_or_away_is_said_within_seconds(
    plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv(BROKER, f"redis://:secret@127.0.0.1:{port}/0")
        began = time.monotonic()
        assert plugin.broker_look(["one"])["is_reached"] is False
        assert time.monotonic() - began < 4
    found = plugin.broker_look(["one"])
    assert found["is_reached"] is False
    assert "secret" not in str(found)


@pytest.mark.parametrize("url", ["", "rediss://broker:6380/0", "amqp://broker"])
def test_without_a_broker_that_can_be_asked_nothing_is_said(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(BROKER, url)

    assert plugin.broker_look(["one"]) is None
