"""The SCIM 2.0 endpoint as scim2-tester judges it. Importing its client alone takes seconds."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import Status, check_server
from scim2_tester.utils import ResourceManager

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """Let the end of a request leave the test's own database connection open."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def _cleaned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scim2-tester forget what it deleted: after each check it deletes all it ever made."""
    cleanup = ResourceManager.cleanup

    def clean(self: ResourceManager) -> None:
        cleanup(self)
        self.resources.clear()

    monkeypatch.setattr(ResourceManager, "cleanup", clean)


@pytest.mark.usefixtures("_one_connection", "_cleaned_once")
def test_every_check_of_scim2_tester_passes(token: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client = WSGISCIMClient(
        WSGIHandler(),
        base_url=f"{settings.PORTAL_URL}/scim/nordhavn/v2",
        headers={"Authorization": f"Bearer {token}"},
    )

    results = check_server(client)

    failed = [f"{one.title}: {one.reason}" for one in results if one.status == Status.ERROR]
    assert failed == []
    # It checks each attribute that is served.
    assert len(results) > 60
