from pathlib import Path
from typing import Any

from celery.signals import heartbeat_sent

from apps.core.heartbeat import beat
from astro_portal.celery import show_life


def test_a_worker_touches_its_file_with_each_heartbeat(settings: Any, tmp_path: Path) -> None:
    settings.HEARTBEAT_FILE = str(tmp_path / "alive")

    heartbeat_sent.send(sender=None)

    assert show_life
    assert (tmp_path / "alive").exists()


def test_a_heartbeat_that_cannot_be_written_ends_nothing(settings: Any, tmp_path: Path) -> None:
    settings.HEARTBEAT_FILE = str(tmp_path / "absent" / "alive")
    beat()

    settings.HEARTBEAT_FILE = ""
    beat()
